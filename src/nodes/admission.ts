// Admits a server as a new node, and verifies the identity and content of a known one.

import { type NodeClient } from '../chroma/client/node-client.ts';
import { NodeError } from '../chroma/client/node-error.ts';
import { contentsIfReachable, readMarker, writeMarker } from './marker.ts';
import { sameIdentity, type Identity, type LogProgress, type Marker } from '../chroma/client/identity.ts';
import type { Term } from '../coordination/term.ts';
import type { VerificationFailure, Node } from './node.ts';
import type { NodeRow, NodeStore } from './node-store.ts';
import type { SeenEntry } from '../log/log-continuity.ts';
import type { Head } from '../log/postgres-log.ts';
import { TermOver } from '../coordination/term.ts';

/** Gives servers without content their identity. */
export interface Introduction {
  /** Has the node begin again without content, if it can be filled anew; it is built anew then. */
  reset(term: Term, head: Head): Promise<void>;
  /** The identity and checkpoint with which the node begins; null when its server cannot be used, which its state says. */
  introduce(term: Term, head: Head): Promise<{ identity: Identity; checkpoint: number } | null>;
}

export interface AdmissionOptions {
  readonly member: Node;
  /** The identity that the verified client expects; set here once known. */
  readonly identity: { expected: Identity | null };
  readonly client: NodeClient;
  /** Checks no identity: used only until the node has one. */
  readonly unverified: NodeClient;
  readonly nodes: Pick<NodeStore, 'all'>;
  readonly introduction: Introduction;
  /** Called before the node is admitted; refuses one whose server lacks a capability. */
  readonly onAdmitting: () => Promise<void>;
  /** Whether the log has an entry that the node has applied. */
  readonly logContains: (seen: SeenEntry) => Promise<boolean>;
  /** The node has applied an entry, at this LSN, that the log lacks. */
  readonly onRewound: (lsn: number) => void;
  /** Compares the node's content with the log after its marker; why it cannot be used, or null. */
  readonly verify: () => Promise<VerificationFailure | null>;
}

/** PostgreSQL was promoted without the node's introduction. The node begins again without content. */
export class IntroductionLost extends Error {
  override readonly name = 'IntroductionLost';
}

const DEADLINE_MS = 5_000;
// A new leader waits for it before it accepts writes; a marker that comes later is compared when its node is admitted.
const PROGRESS_DEADLINE_MS = 1_000;

export class Admission {
  readonly #options: AdmissionOptions;
  #known = false;

  constructor(options: AdmissionOptions) {
    this.#options = options;
  }

  /** Loads from PostgreSQL whether this node is known, and under which identity. */
  async load(cluster: string): Promise<void> {
    const { member, identity, nodes } = this.#options;
    const row = (await nodes.all()).find(({ id }) => id === member.id);
    // Until its marker names its incarnation, the node is introduced again.
    if (row === undefined || row.filling) return;
    this.#known = true;
    identity.expected = { cluster, node: row.id, incarnation: row.incarnation };
    member.markerLSN = Math.max(member.markerLSN, row.markerLSN);
  }

  /** What the node's marker says that it has applied; null when it cannot be read at the moment. */
  async progress(): Promise<LogProgress | null> {
    const { identity, unverified } = this.#options;
    const { expected } = identity;
    try {
      const stored = expected === null ? null : await readMarker(unverified, PROGRESS_DEADLINE_MS);
      if (expected === null || stored === null || !sameIdentity(stored.marker, expected)) return null;
      return stored.marker.progress;
    } catch {
      return null;
    }
  }

  /** The node's durable checkpoint. */
  async checkpoint(): Promise<number> {
    return (await this.row()).checkpoint;
  }

  /** The incarnation that this gateway knows the node by; null before its introduction. */
  get incarnation(): string | null {
    return this.#options.identity.expected?.incarnation ?? null;
  }

  /** The node's row in PostgreSQL. Throws IntroductionLost when there is none any more. */
  async row(): Promise<NodeRow> {
    const { member, nodes } = this.#options;
    const row = (await nodes.all()).find(({ id }) => id === member.id);
    if (row === undefined)
      throw new IntroductionLost('PostgreSQL no longer has the introduction of the node');
    return row;
  }

  /**
   * Admits the node if it has its identity, or is blank and new; otherwise changes its state with the reason. Throws
   * IntroductionLost.
   */
  async admit(term: Term, head: Head): Promise<void> {
    const { member, client, logContains, onAdmitting, onRewound, verify } = this.#options;
    try {
      if (this.#known) await this.row();
      else await this.#introduce(term, head);
      if (!this.#known) return;
      const stored = await readMarker(client, DEADLINE_MS);
      const progress = stored?.marker.progress ?? null;
      if (progress !== null && progress.log !== head.logId) {
        return member.refuse(`the node follows another log (${progress.log})`);
      }
      if (progress !== null && !(await logContains({ lsn: progress.checkpoint, token: progress.token }))) {
        return onRewound(progress.checkpoint);
      }
      if ((progress?.checkpoint ?? 0) < member.markerLSN) {
        const was = `its marker holds LSN ${progress?.checkpoint ?? 0}, and held ${member.markerLSN} before`;
        return member.on('lost_content', `the node came back with older content: ${was}`);
      }
      await onAdmitting();
      const failure = await verify();
      if (failure?.contentLost === true) return member.on('lost_content', failure.reason);
      if (failure !== null) return member.callFailed(new Error(failure.reason), false);
      member.on('admitted', 'identity and content verified');
    } catch (error) {
      await this.#explain(error);
    }
  }

  /** A node that lost its content begins again, once it can be filled anew. */
  async beginAgain(term: Term, head: Head): Promise<void> {
    await this.#options.introduction.reset(term, head);
  }

  async #introduce(term: Term, head: Head): Promise<void> {
    const { member, identity, introduction } = this.#options;
    const begun = await introduction.introduce(term, head);
    if (begun === null) return;
    this.#known = true;
    identity.expected = begun.identity;
    member.markerLSN = begun.checkpoint;
  }

  async #explain(error: unknown): Promise<void> {
    const { member, unverified } = this.#options;
    if (!(error instanceof NodeError)) throw error;
    if (error.code === 'wrong_identity') return member.on('wrong_identity', error.message);
    if (error.code === 'older_content') return member.on('lost_content', error.message);
    if (error.code !== 'marker_missing') return member.callFailed(error, false);
    const contents = await contentsIfReachable(unverified, DEADLINE_MS);
    if (contents !== null) member.on('lost_content', 'the node came back blank: its marker is gone');
  }

  /** Replaces parts of the node's marker; the rest stays. */
  async writeMarker(
    changes: Partial<Pick<Marker, 'progress' | 'copies' | 'view' | 'epoch'>>,
    term: Term,
  ): Promise<void> {
    const { client, identity } = this.#options;
    const stored = await readMarker(client, DEADLINE_MS);
    if (stored === null || identity.expected === null) throw new Error('the node has no marker');
    if (!term.held()) throw new TermOver();
    await writeMarker(client, stored.physicalId, { ...stored.marker, ...identity.expected, ...changes });
  }
}
