// The consistency levels: which LSN a read must reflect.

import { PolychromeError } from '../errors.ts';
import type { SessionFloors } from './session-floors.ts';
import type { ShardHeads } from './shard-heads.ts';

/** What a read must see. */
export type Consistency = 'strong' | 'session' | 'bounded' | 'eventual';

export interface ReadSource {
  /** Other gateways are registered. */
  readonly hasOthers: boolean;
  /** Its session may go to any of the gateways that share a port. */
  readonly sharesPort: boolean;
  /** It names an LSN from an earlier response. */
  readonly echoes: boolean;
}

/**
 * The level at which a read is served that asks for this one, or for none. I6: a session through a shared port sees what
 * the other gateways have acknowledged. A client that echoes an LSN may have seen a write in flight, of which only the
 * gateway that leads knows on which nodes it is.
 */
export function servedLevel<Level extends string>(
  asked: Level | null,
  { hasOthers, sharesPort, echoes }: ReadSource,
): Level | Consistency {
  if (!hasOthers) return asked ?? 'session';
  if (asked === null || (asked !== 'eventual' && echoes)) return 'strong';
  return asked === 'session' && sharesPort ? 'strong' : asked;
}

export interface ReadFloorsOptions {
  readonly floors: Pick<SessionFloors, 'shard'>;
  readonly heads: Pick<ShardHeads, 'now' | 'within' | 'head'>;
  /**
   * LSN of the shard's last entry, if this gateway has learnt after the request came of everything that was acknowledged
   * before (api/v2/known-state-router.ts); null when PostgreSQL has to be asked.
   */
  readonly knownShard: (shard: string) => number | null;
  /** LSN of the last entry of the log that this gateway knows of. */
  readonly knownHead: () => number;
  /** At which a request is served that names this level, or none; `echoes`: it names an LSN. */
  readonly level: (named: Consistency | null, echoes: boolean) => Consistency;
  /** For requests at level `bounded` that name no lag, ms. */
  readonly boundedLagMs: number;
}

type Headers = Readonly<Record<string, string | string[] | undefined>>;

interface RequestedLevel {
  readonly level: Consistency;
  readonly lagMs: number;
}

const LEVEL = /^(?:(strong|session|eventual)|bounded(?:=(\d{1,7}))?)$/;
const LSN = /^\d{1,15}$/;

export class ReadFloors {
  readonly #options: ReadFloorsOptions;

  constructor(options: ReadFloorsOptions) {
    this.#options = options;
  }

  /**
   * The LSN up to which a node must have applied the shard to serve the request: by its level, and not below an LSN that the
   * client names. Throws invalid_argument; log_unavailable when PostgreSQL is needed and does not respond.
   */
  async of(headers: Headers, shard: string): Promise<number> {
    const echoes = headers['x-polychrome-lsn'] !== undefined;
    const { level, lagMs } = this.#level(headers['x-polychrome-consistency'], echoes);
    const named = await this.#namedLSN(headers['x-polychrome-lsn']);
    return Math.max(named, await this.#floor({ level, lagMs }, shard));
  }

  async #floor({ level, lagMs }: RequestedLevel, shard: string): Promise<number> {
    const { floors, heads, knownShard } = this.#options;
    switch (level) {
      case 'strong':
        return knownShard(shard) ?? heads.now(shard);
      case 'session':
        return floors.shard(shard);
      case 'bounded':
        return heads.within(shard, lagMs);
      case 'eventual':
        return 0;
    }
  }

  #level(header: string | string[] | undefined, echoes: boolean): RequestedLevel {
    const { level, boundedLagMs } = this.#options;
    if (header === undefined) return { level: level(null, echoes), lagMs: boundedLagMs };
    const [, plain, lag] = (typeof header === 'string' && LEVEL.exec(header)) || [];
    if (plain !== undefined) return { level: level(plain as Consistency, echoes), lagMs: boundedLagMs };
    if (typeof header === 'string' && LEVEL.test(header))
      return { level: level('bounded', echoes), lagMs: lag === undefined ? boundedLagMs : Number(lag) };
    throw new PolychromeError(
      'invalid_argument',
      'x-polychrome-consistency must be strong, session, bounded, bounded=MILLISECONDS or eventual.',
    );
  }

  /** A client that sends the LSN of an earlier response sees nothing older, through any gateway. */
  async #namedLSN(header: string | string[] | undefined): Promise<number> {
    if (header === undefined) return 0;
    const { heads, knownHead } = this.#options;
    const lsn = typeof header === 'string' && LSN.test(header) ? Number(header) : Infinity;
    if (lsn <= knownHead()) return lsn;
    // Another gateway may have appended beyond what this one knows.
    const head = lsn === Infinity ? knownHead() : await heads.head();
    if (lsn <= head) return lsn;
    throw new PolychromeError(
      'invalid_argument',
      `x-polychrome-lsn must be an LSN from an earlier response; the last LSN of the log is ${head}.`,
    );
  }
}
