// Makes a Chroma server that holds data the first node of a new cluster, with its collections under their ids. Its content
// is only read; the marker is all that is written there.

import { newMarker, RESERVED, type Identity } from '../chroma/client/identity.ts';
import type { NodeClient } from '../chroma/client/node-client.ts';
import { StartupError } from '../errors.ts';
import { inspectNode, installMarker, type NodeContents } from '../nodes/marker.ts';
import type { Clock } from '../util/clock.ts';
import type { ReportProgress } from '../util/progress.ts';
import type { AdoptedNode, AdoptionStore, ClusterState } from './adoption-store.ts';
import { compareCopies } from './copy-comparison.ts';
import { removeContent } from './node-content.ts';
import { changeSince, readerOf, readEverything, surveyServer, type Survey } from './server-survey.ts';

/** A server that NODES names. */
export interface AdoptableServer {
  readonly id: string;
  readonly client: NodeClient;
}

export interface AdoptionOptions {
  readonly store: Pick<AdoptionStore, 'state' | 'record'>;
  /** In the order of NODES: the first is the one that is adopted. */
  readonly servers: readonly AdoptableServer[];
  /** Tenants beside the default one, which cannot be listed. */
  readonly tenants: readonly string[];
  /** Nodes whose content may be removed and copied anew. */
  readonly rebuild: readonly string[];
  readonly newId: () => string;
  readonly clock: Clock;
  readonly report: ReportProgress;
}

/** What an adoption would do, or has done. */
export interface AdoptionReport {
  readonly node: string;
  readonly tenants: readonly string[];
  readonly collections: readonly {
    readonly name: string;
    readonly records: number;
    readonly dimension: number | null;
  }[];
  readonly records: number;
  readonly hazards: readonly string[];
  /** Each other server: empty and to be filled, equal and kept, or what differs. */
  readonly others: readonly { readonly node: string; readonly is: string }[];
  /** How long the copying to each other node takes, roughly. */
  readonly copySeconds: number;
}

const DEADLINE_MS = 10_000;
// A stock server on two cores takes some 2,600 records of 128 dimensions a second in large calls (docs/chroma-behaviour.md).
const RECORDS_PER_SECOND = 2_000;
const DIFFERENT = 'differs';
const FOREIGN = 'is node';

export class Adoption {
  readonly #options: AdoptionOptions;

  constructor(options: AdoptionOptions) {
    this.#options = options;
  }

  /** Whether the first server holds data and the cluster is empty. Throws what reading the server throws. */
  async isWanted(): Promise<boolean> {
    if (!(await this.#options.store.state()).isFresh) return false;
    const contents = await inspectNode(this.#source.client, DEADLINE_MS);
    if (contents.marker !== null) return this.#isInterrupted(contents, await this.#options.store.state());
    return !contents.blank;
  }

  /** Reads the servers and says what an adoption would do. Changes nothing. Throws StartupError. */
  async dryRun(): Promise<AdoptionReport> {
    const { survey, hazards, others } = await this.#examine();
    return this.#reportOf(survey, hazards, others);
  }

  /** Adopts the first server. Throws StartupError when it cannot be adopted; nothing was changed then. */
  async run(): Promise<AdoptionReport> {
    const { store, newId, report } = this.#options;
    const state = await store.state();
    if (!state.isFresh)
      throw new StartupError(
        'The cluster is not empty: a server can be adopted only as the first node of a new one.',
      );
    if (state.leader !== null)
      throw new StartupError(`Gateway ${state.leader} runs on this database; stop it, then adopt.`);
    const contents = await inspectNode(this.#source.client, DEADLINE_MS);
    if (contents.marker !== null && !this.#isInterrupted(contents, state))
      throw new StartupError(
        `The server is node "${contents.marker.node}" of cluster ${contents.marker.cluster}; it cannot be adopted.`,
      );
    const { survey, digests, hazards, others } = await this.#examine();
    if (hazards.length > 0)
      throw new StartupError(`The server cannot be adopted: ${hazards.join('; ')}. Nothing was changed.`);
    const foreign = others.find(({ is }) => is.startsWith(FOREIGN));
    if (foreign !== undefined)
      throw new StartupError(`Node "${foreign.node}" ${foreign.is}: correct NODES. Nothing was changed.`);
    const different = others.filter(
      ({ is, node }) => is.startsWith(DIFFERENT) && !this.#options.rebuild.includes(node),
    );
    if (different.length > 0) {
      const which = different.map(({ node, is }) => `node "${node}" ${is}`).join('; ');
      throw new StartupError(
        `Other servers hold data: ${which}. Give them empty data directories, or name them in ADOPT_REBUILD (--rebuild) to have their content removed and copied anew. Nothing was changed.`,
      );
    }
    const incarnation = contents.marker?.incarnation ?? newId();
    const source = identityOf(state, this.#source.id, incarnation);
    await installMarker(this.#source.client, newMarker(source));
    const change = await changeSince(this.#source.client, { survey, digests }, report);
    if (change !== null)
      await this.#abort(`${change} while it was read: something else writes to the server. Stop it`);
    const nodes: AdoptedNode[] = [
      { id: source.node, incarnation, physical: new Map(survey.collections.map(({ id }) => [id, id])) },
    ];
    for (const { kept } of others) {
      if (kept === null) continue;
      const identity = identityOf(state, kept.id, kept.incarnation);
      await installMarker(this.#serverOf(kept.id).client, newMarker(identity));
      nodes.push(kept);
    }
    const discard = others.filter(({ is }) => is.startsWith(DIFFERENT)).map(({ node }) => node);
    const refused = await store.record({ survey, nodes, discard });
    if (refused !== null) await this.#abort(`${refused}. Stop what uses it`);
    return this.#reportOf(survey, hazards, others);
  }

  get #source(): AdoptableServer {
    return this.#options.servers[0] as AdoptableServer;
  }

  #serverOf(node: string): AdoptableServer {
    return this.#options.servers.find(({ id }) => id === node) as AdoptableServer;
  }

  /** An adoption wrote the marker and did not record it: it is done again. */
  #isInterrupted({ marker }: NodeContents, { cluster }: ClusterState): boolean {
    return marker?.cluster === cluster && marker.node === this.#source.id && marker.progress === null;
  }

  async #examine(): Promise<Examination> {
    const { servers, tenants, report } = this.#options;
    const survey = await surveyServer(this.#source.client, ['default_tenant', ...tenants]);
    const { hazards, digests } = await readEverything(this.#source.client, survey, report);
    const others: OtherServer[] = [];
    for (const server of servers.slice(1)) others.push(await this.#examineOther(server, survey));
    return { survey, digests, hazards: [...survey.hazards, ...hazards], others };
  }

  async #examineOther({ id: node, client }: AdoptableServer, survey: Survey): Promise<OtherServer> {
    const { newId } = this.#options;
    const contents = await inspectNode(client, DEADLINE_MS).catch((error: unknown) => String(error));
    if (typeof contents === 'string') return { node, is: `does not respond (${contents})`, kept: null };
    const { marker } = contents;
    if (marker !== null && marker.progress !== null)
      return { node, is: `${FOREIGN} "${marker.node}" of cluster ${marker.cluster}`, kept: null };
    if (contents.collections === 0) return { node, is: 'is empty: it is filled', kept: null };
    const other = await surveyServer(client, survey.tenants);
    const found = await this.#difference({ node, client }, survey, other);
    return typeof found === 'string'
      ? { node, is: `${DIFFERENT}: ${found}`, kept: null }
      : {
          node,
          is: 'is equal: it is kept',
          kept: { id: node, incarnation: marker?.incarnation ?? newId(), physical: found },
        };
  }

  /** The other server's collections by the ids of the source's; or the first difference. */
  async #difference(
    { node, client }: { node: string; client: NodeClient },
    survey: Survey,
    other: Survey,
  ): Promise<ReadonlyMap<string, string> | string> {
    const { report } = this.#options;
    const [hazard] = other.hazards;
    if (hazard !== undefined) return hazard;
    if (other.collections.length !== survey.collections.length)
      return `it has ${other.collections.length} collections, and the first server ${survey.collections.length}`;
    const copies = new Map<string, string>();
    for (const collection of survey.collections) {
      const { tenant, database, name, id, records } = collection;
      const counterpart = other.collections.find(
        (each) => each.tenant === tenant && each.database === database && each.name === name,
      );
      if (counterpart === undefined) return `it lacks the collection ${tenant}/${database}/${name}`;
      report({ phase: `comparing ${name} on ${node}`, done: 0, total: records, unit: 'records' });
      const place = { tenant, database };
      const source = {
        node: this.#source.id,
        location: { ...place, physical: id },
        read: readerOf(this.#source.client),
      };
      const theirs = { node, location: { ...place, physical: counterpart.id }, read: readerOf(client) };
      const result = await compareCopies([source, theirs], {
        rule: { isCosine: collection.isCosine },
        applied: () => 0,
        head: () => 0,
        touched: async () => ({ has: () => false, any: false }),
        clock: this.#options.clock,
        signal: new AbortController().signal,
        onPage: async () => undefined,
      });
      const isEqual =
        result.differences.length === 0 && result.unreadable.size === 0 && result.uncompared === 0;
      const isAlike = sortedBytes(collection.body).equals(sortedBytes(counterpart.body));
      if (!isEqual || !isAlike) return `its collection ${tenant}/${database}/${name} holds something else`;
      copies.set(id, counterpart.id);
    }
    return copies;
  }

  #reportOf(survey: Survey, hazards: readonly string[], others: readonly OtherServer[]): AdoptionReport {
    return {
      node: this.#source.id,
      tenants: survey.tenants,
      collections: survey.collections.map(({ tenant, database, name, records, dimension }) => ({
        name: `${tenant}/${database}/${name}`,
        records,
        dimension,
      })),
      records: survey.records,
      hazards,
      others: others.map(({ node, is }) => ({ node, is })),
      copySeconds: Math.ceil(survey.records / RECORDS_PER_SECOND),
    };
  }

  /** Takes the marker back. */
  async #abort(reason: string): Promise<never> {
    const options = {
      client: this.#source.client,
      leavesLists: false,
      idsMax: 100,
      held: () => true,
      paced: unpaced,
    };
    await removeContent(RESERVED.tenant, options);
    throw new StartupError(`The server was not adopted: ${reason}, and try again. Nothing was changed.`);
  }
}

interface OtherServer {
  readonly node: string;
  readonly is: string;
  /** As a node of the cluster; null unless its content is kept. */
  readonly kept: AdoptedNode | null;
}

interface Examination {
  readonly survey: Survey;
  readonly digests: ReadonlyMap<string, string>;
  readonly hazards: readonly string[];
  readonly others: readonly OtherServer[];
}

/** Equal for equal settings: servers return the keys of metadata in any order. */
function sortedBytes(body: Buffer): Buffer {
  return Buffer.from(Buffer.from(body).sort());
}

function identityOf({ cluster }: ClusterState, node: string, incarnation: string): Identity {
  return { cluster, node, incarnation };
}

function unpaced(step: () => Promise<void>): Promise<void> {
  return step();
}
