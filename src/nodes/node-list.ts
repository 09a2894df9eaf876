// Keeps the registry equal to the list of nodes in PostgreSQL, and reconciles the list with what NODES names.

import { sleep, type Clock } from '../util/clock.ts';
import type { Logger } from '../util/logger.ts';
import { maskCredentials } from '../util/mask-credentials.ts';
import type { Admission } from './admission.ts';
import type { MemberList, MemberRow, MemberStore, NodeLocation } from './member-store.ts';
import type { NodeDirectory } from './node-directory.ts';
import type { NodeRegistry } from './node-registry.ts';
import type { Node } from './node.ts';
import type { ServiceMembership } from './service-membership.ts';

/** Which server is at an address: the incarnation in its marker; null for one without a marker. Throws when none responds. */
export type Identify = (
  url: string,
) => Promise<{ readonly node: string; readonly incarnation: string } | null>;

/** What the list must know of a node in use. */
interface ListedMember {
  readonly member: Node;
  readonly admission: Pick<Admission, 'incarnation'>;
}

export interface NodeListOptions<Registered extends ListedMember> {
  readonly store: Pick<MemberStore, 'list' | 'version' | 'move' | 'exchange' | 'count'>;
  readonly registry: NodeRegistry<Registered>;
  /** What names the nodes: NODES, or a DNS name. */
  readonly directory: NodeDirectory;
  /** Null when nodes join and leave on an operator's command only. */
  readonly membership: Pick<ServiceMembership, 'follow' | 'unknown'> | null;
  /** `isReplacement`: calls of the node before it may still be executed. */
  readonly build: (member: MemberRow, isReplacement: boolean) => Registered;
  /**
   * Called after a node was taken out of the registry; resolves when nothing of it is in flight. `isGone`: its content is
   * not that of a later node of the same id.
   */
  readonly retire: (node: Registered, isGone: boolean) => Promise<void>;
  readonly identify: Identify;
  /** Called when nodes came or went, or count from now on. */
  readonly onChanged: () => void;
  readonly clock: Clock;
  readonly logger: Pick<Logger, 'info' | 'warn'>;
}

// One small query. An operator's change is noticed by other gateways within this; the gateway that made it looks at once.
const POLL_MS = 500;
// A node that moved is not urgent: the others serve. Each check may wait for an address that does not respond.
const RECONCILE_MS = 5_000;

export class NodeList<Registered extends ListedMember> {
  readonly #options: NodeListOptions<Registered>;
  #known: MemberList;
  /** As the registry has it, by id. */
  readonly #built = new Map<string, MemberRow>();
  #refreshing: Promise<void> = Promise.resolve();
  /** As the directory had it last; null before. */
  #configured: readonly NodeLocation[] | null = null;
  #reported: readonly string[] = [];

  /** `list`: as it was read when this gateway started; its nodes are built at once. */
  constructor(options: NodeListOptions<Registered>, list: MemberList) {
    this.#options = options;
    this.#known = list;
    for (const member of list.members) if (!member.removed) this.#add(member, false);
  }

  /** How often the node that is in use under this id began again; null when there is none. */
  resetsOf(id: string): number | null {
    return this.#built.get(id)?.resets ?? null;
  }

  /** Whether these are the nodes in use, as far as what is given of them goes. */
  hasNodes(nodes: readonly Pick<MemberRow, 'id' | 'resets' | 'drained' | 'counts'>[]): boolean {
    const isSame = ({ id, resets, drained, counts }: (typeof nodes)[number]): boolean => {
      const built = this.#built.get(id);
      return built?.resets === resets && built.drained === drained && built.counts === counts;
    };
    return nodes.length === this.#built.size && nodes.every(isSame);
  }

  /** In which respects the directory differs from the list, one sentence each. */
  differences(): readonly string[] {
    if (this.#configured === null) return [];
    return differencesBetween(this.#configured, this.#known.members, this.#options.directory.name);
  }

  /** Follows the list until `signal` aborts. Never throws. */
  async run(signal: AbortSignal): Promise<void> {
    const { clock, store, logger } = this.#options;
    let reconciledAt = -RECONCILE_MS;
    while (!signal.aborted) {
      try {
        const { view, timeline } = await store.version();
        const isStale = view !== this.#known.view || timeline !== this.#known.timeline;
        const isUncounted = this.#options.registry
          .all()
          .some(({ member }) => member.counts && this.#built.get(member.id)?.counts === false);
        if (isUncounted) await this.#count();
        if (isStale || isUncounted) await this.refresh();
        if (clock.monotonic() - reconciledAt >= RECONCILE_MS) {
          reconciledAt = clock.monotonic();
          await this.#reconcile();
        }
      } catch (error) {
        logger.warn({ error: String(error) }, 'list of nodes not read');
      }
      await sleep(clock, POLL_MS, signal);
    }
  }

  /** Reads the list now and follows it; resolves when the registry equals it. Throws when it cannot be read. */
  refresh(): Promise<void> {
    const next = this.#refreshing.catch(() => undefined).then(() => this.#refresh());
    this.#refreshing = next;
    return next;
  }

  async #refresh(): Promise<void> {
    const list = await this.#options.store.list();
    // Removals first: an address may belong to another node from now on.
    for (const built of Array.from(this.#built.values())) {
      const member = list.members.find(({ id }) => id === built.id);
      if (member === undefined || member.removed) await this.#remove(built.id, { isGone: true });
    }
    for (const member of list.members) {
      if (member.removed) continue;
      const built = this.#built.get(member.id);
      if (built === undefined) this.#add(member, false);
      else await this.#follow(built, member);
    }
    this.#known = list;
    this.#options.onChanged();
  }

  /** Builds a node anew that has moved or begun again. */
  async #follow(built: MemberRow, member: MemberRow): Promise<void> {
    const isGone = this.#hasBegunAgain(built, member);
    if (built.url === member.url && !isGone) return this.#update(member);
    await this.#remove(member.id, { isGone, isReplaced: true });
    this.#add(member, true);
  }

  /** After a promotion that lost a beginning, the next one has the same number, and another incarnation. */
  #hasBegunAgain(built: MemberRow, { id, resets, incarnation, filling }: MemberRow): boolean {
    if (built.resets !== resets) return true;
    const known = this.#options.registry.get(id).admission.incarnation;
    return known !== null && incarnation !== null && !filling && known !== incarnation;
  }

  #add(member: MemberRow, isReplacement: boolean): void {
    const { registry, build, logger } = this.#options;
    registry.add(build(member, isReplacement));
    this.#built.set(member.id, member);
    logger.info({ node: member.id, url: maskCredentials(member.url) }, 'node added');
  }

  /** `isGone`: its content is not that of a later node of the same id; `isReplaced`: it is added again at once. */
  async #remove(
    id: string,
    { isGone, isReplaced = false }: { readonly isGone: boolean; readonly isReplaced?: boolean },
  ): Promise<void> {
    const { registry, retire, logger } = this.#options;
    const node = registry.get(id);
    registry.remove(id, isReplaced);
    this.#built.delete(id);
    this.#options.onChanged();
    await retire(node, isGone);
    logger.info({ node: id }, 'node removed');
  }

  #update(member: MemberRow): void {
    const { member: node } = this.#options.registry.get(member.id);
    node.isDrained = member.drained;
    if (member.counts) node.counts = true;
    this.#built.set(member.id, member);
  }

  /** Makes durable that nodes count which serve now for the first time. */
  async #count(): Promise<void> {
    const { registry, store } = this.#options;
    for (const { member } of registry.all())
      if (member.counts && this.#built.get(member.id)?.counts === false) await store.count(member.id);
  }

  /** A node that is named at another address has moved there if its marker is there, and not where the list has it. */
  async #reconcile(): Promise<void> {
    const { store, logger } = this.#options;
    const configured = await this.#named();
    if (configured === null) return;
    for (const { id, url } of configured) {
      const member = this.#known.members.find((each) => each.id === id && !each.removed);
      if (member === undefined || member.url === url) continue;
      if (!(await this.#hasMoved(member, url))) continue;
      if (await store.move({ id, url }, member.url)) {
        logger.warn({ node: id, from: maskCredentials(member.url), to: maskCredentials(url) }, 'node moved');
        await this.refresh();
      }
    }
    if (await this.#options.membership?.follow(configured, this.#known.members)) await this.refresh();
    await this.#followFolders();
    const differences = this.differences();
    if (differences.join() !== this.#reported.join())
      for (const difference of differences)
        logger.warn({ difference }, 'named nodes differ from the list of nodes');
    this.#reported = differences;
  }

  /** What the directory names; null when it cannot be learned at this moment. */
  async #named(): Promise<readonly NodeLocation[] | null> {
    const { directory, membership, logger } = this.#options;
    try {
      this.#configured = await directory.nodes();
      return this.#configured;
    } catch (error) {
      membership?.unknown();
      logger.warn({ error: String(error) }, 'named nodes not read; the list of nodes stays as it is');
      return null;
    }
  }

  /** Fenced nodes whose folders were exchanged: each is where its folder is now, with all of its content. */
  async #followFolders(): Promise<void> {
    const { registry, identify, store, logger } = this.#options;
    const fenced = registry.all().filter(({ member }) => member.state === 'fenced');
    const moved: (NodeLocation & { from: string })[] = [];
    const places = new Set<string>();
    for (const { member: place } of fenced) {
      const found = await identify(place.url).catch(() => null);
      const owner = this.#known.members.find(
        ({ id, incarnation, removed }) =>
          !removed && id === found?.node && incarnation === found.incarnation && id !== place.id,
      );
      if (owner === undefined) continue;
      moved.push({ id: owner.id, url: place.url, from: owner.url });
      places.add(owner.url);
    }
    // Every address that one of them leaves is taken by another: nothing is where two nodes could be.
    if (moved.length === 0 || !moved.every(({ url }) => places.has(url))) return;
    if (!(await store.exchange(moved))) return;
    for (const { id, url, from } of moved)
      logger.warn({ node: id, from: maskCredentials(from), to: maskCredentials(url) }, 'node moved');
    await this.refresh();
  }

  async #hasMoved(member: MemberRow, to: string): Promise<boolean> {
    const { identify } = this.#options;
    if (member.incarnation === null) return true; // no server has been admitted under this id yet
    const isIt = async (url: string): Promise<boolean> => {
      const found = await identify(url).catch(() => null);
      return found?.node === member.id && found.incarnation === member.incarnation;
    };
    return (await isIt(to)) && !(await isIt(member.url));
  }
}

/** In which respects the configuration differs from the list; nothing but a person removes a node. */
export function differencesBetween(
  configured: readonly NodeLocation[],
  members: readonly MemberRow[],
  source: string,
): readonly string[] {
  const named = configured.flatMap(({ id, url }) => {
    const member = members.find((each) => each.id === id);
    if (member === undefined) return [];
    if (member.removed)
      return [
        `${source} names node "${id}", which was removed; take it out of there, or add it with "node add".`,
      ];
    if (member.url === url) return [];
    return [
      `${source} says that node "${id}" is at ${maskCredentials(url)}; the cluster uses it at ${maskCredentials(member.url)}. It moves once it responds at the new address and not at the old one.`,
    ];
  });
  const absent = members
    .filter(({ id, removed }) => !removed && !configured.some((each) => each.id === id))
    .map(
      ({ id }) =>
        `${source} does not name node "${id}", which belongs to the cluster; it is kept. Remove it with "node remove", or name it there.`,
    );
  return [...named, ...absent];
}
