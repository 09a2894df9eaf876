// The Chroma release under test, and a bare server of it. CHROMA_COMMAND selects another release than the newest
// installed one that loads; `npm run test:newest` sets it.

import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Capabilities } from '../../src/chroma/protocol/capabilities.ts';
import { probeCapabilities } from '../../src/chroma/client/probe-capabilities.ts';
import { createUnverifiedNodeClient } from '../../src/chroma/client/node-client.ts';
import { type ChromaRelease, findChromaRelease } from '../../src/local/chroma-release.ts';
import { startChroma } from '../../src/local/chroma.ts';
import { findFreePort } from '../../src/local/port.ts';
import { systemClock } from '../../src/util/clock.ts';

/** For `startLocalCluster`; undefined: the newest installed release that loads. */
export const chromaCommand: string | undefined = process.env['CHROMA_COMMAND'];

export function releaseUnderTest(): Promise<ChromaRelease> {
  return findChromaRelease(chromaCommand);
}

export interface BareServer {
  readonly url: string;
  /** Kills it and removes its data. */
  stop(): Promise<void>;
}

/** Starts a server on a new folder; resolves when it responds. */
export async function startBareServer(): Promise<BareServer> {
  const folder = await mkdtemp(join(tmpdir(), 'polychrome-bare-'));
  const port = await findFreePort();
  const child = await startChroma({
    name: 'the bare server',
    release: await releaseUnderTest(),
    path: join(folder, 'data'),
    port,
    logFile: join(folder, 'log'),
    clock: systemClock,
  });
  return {
    url: `http://127.0.0.1:${port}`,
    async stop() {
      child.signal('SIGKILL'); // its data is not kept, and 1.3.4 does not exit in order (src/local/chroma.ts)
      await child.stop();
      await rm(folder, { recursive: true, force: true, maxRetries: 5 });
    },
  };
}

/** The capabilities of a server. */
export async function capabilitiesOf({ url }: BareServer): Promise<Capabilities> {
  const client = createUnverifiedNodeClient({ url, clock: systemClock });
  try {
    return await probeCapabilities(client);
  } finally {
    await client.destroy();
  }
}
