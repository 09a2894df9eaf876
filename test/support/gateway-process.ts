// A further gateway of a cluster, in a process of its own: it can be killed, frozen and stopped.

import { type ChildProcess, spawn } from 'node:child_process';
import { ChromaHttp } from './chroma-http.ts';
import { findFreePort } from '../../src/local/port.ts';
import { until } from './until.ts';

export class GatewayProcess {
  readonly url: string;
  readonly #child: ChildProcess;
  #output = '';

  private constructor(child: ChildProcess, url: string) {
    this.#child = child;
    this.url = url;
    for (const stream of [child.stdout, child.stderr])
      stream?.on('data', (text) => (this.#output += String(text)));
  }

  /** Resolves when it serves. */
  static async start(
    environment: Readonly<Record<string, string>>,
    { options = [], folder }: { readonly options?: readonly string[]; readonly folder?: string } = {},
  ): Promise<GatewayProcess> {
    const port = await findFreePort();
    const env = { ...process.env, ...environment, PORT: String(port) };
    const child = spawn(process.execPath, ['src/main.ts', 'serve', ...options], {
      env,
      stdio: ['ignore', 'pipe', 'pipe'],
      // The repository of another release.
      ...(folder === undefined ? {} : { cwd: folder }),
    });
    const gateway = new GatewayProcess(child, `http://127.0.0.1:${port}`);
    await gateway.ready();
    return gateway;
  }

  get pid(): number {
    return this.#child.pid!;
  }

  /** What it has written. */
  get output(): string {
    return this.#output;
  }

  /** Null while it runs. */
  get exitCode(): number | null {
    return this.#child.exitCode;
  }

  get api(): ChromaHttp {
    return new ChromaHttp(this.url);
  }

  async ready(): Promise<void> {
    const hasExited = (): boolean => this.#child.exitCode !== null;
    await until(
      async () => hasExited() || (await fetch(`${this.url}/ready`)).status === 200,
      'the gateway serves',
    );
    if (hasExited()) throw new Error(`it has exited: ${this.#output}`);
  }

  async leads(): Promise<boolean> {
    const { leader } = (await (await fetch(`${this.url}/status`)).json()) as { leader: string | null };
    return leader !== null;
  }

  signal(signal: NodeJS.Signals): void {
    this.#child.kill(signal);
  }

  async stop(signal: NodeJS.Signals = 'SIGTERM'): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return;
    const exited = new Promise((resolve) => this.#child.once('exit', resolve));
    this.#child.kill(signal);
    await exited;
  }
}
