// A DNS server that responds to SRV questions, over UDP on a port of its own.

import { createSocket, type Socket } from 'node:dgram';

export interface SrvTarget {
  readonly target: string;
  readonly port: number;
}

const SRV = 33;
const NAME_ERROR = 3;

export class DnsServer {
  readonly #socket: Socket;
  /** By name; a name that is absent does not exist. */
  readonly answers = new Map<string, readonly SrvTarget[]>();
  /** Responds to nothing. */
  isSilent = false;

  private constructor(socket: Socket) {
    this.#socket = socket;
    socket.on('message', (question, { port, address }) => {
      if (!this.isSilent) socket.send(this.#answer(question), port, address);
    });
  }

  static async start(): Promise<DnsServer> {
    const socket = createSocket('udp4');
    await new Promise<void>((resolve) => socket.bind(0, '127.0.0.1', resolve));
    return new DnsServer(socket);
  }

  /** As `Resolver.setServers` takes it. */
  get address(): string {
    return `127.0.0.1:${this.#socket.address().port}`;
  }

  stop(): Promise<void> {
    return new Promise((resolve) => this.#socket.close(() => resolve()));
  }

  /** RFC 1035, section 4, and RFC 2782. */
  #answer(message: Buffer): Buffer {
    const labels: string[] = [];
    let at = 12;
    for (let length = message[at]!; length > 0; length = message[at]!) {
      labels.push(message.toString('latin1', at + 1, at + 1 + length));
      at += length + 1;
    }
    const question = message.subarray(12, at + 5);
    const targets = this.answers.get(labels.join('.').toLowerCase());
    const header = Buffer.alloc(12);
    message.copy(header, 0, 0, 2);
    header.writeUInt16BE(0x8180 | (targets === undefined ? NAME_ERROR : 0), 2);
    header.writeUInt16BE(1, 4);
    header.writeUInt16BE(targets?.length ?? 0, 6);
    return Buffer.concat([header, question, ...(targets ?? []).map(srvRecord)]);
  }
}

function srvRecord({ target, port }: SrvTarget): Buffer {
  const parts = target
    .split('.')
    .map((label) => Buffer.concat([Buffer.of(label.length), Buffer.from(label)]));
  const name = Buffer.concat([...parts, Buffer.of(0)]);
  const record = Buffer.alloc(18);
  record.writeUInt16BE(0xc00c, 0); // the name of the question
  record.writeUInt16BE(SRV, 2);
  record.writeUInt16BE(1, 4); // class IN; the time to live is 0
  record.writeUInt16BE(name.length + 6, 10);
  record.writeUInt16BE(port, 16); // priority and weight are 0
  return Buffer.concat([record, name]);
}
