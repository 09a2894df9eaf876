// The copies that are not in use, in memory: the promises of repair/copy-store.ts.

import type { Entry } from '../../src/log/entry.ts';
import type { AsideCopy, CollectionBody, CopyStore } from '../../src/repair/copy-store.ts';
import type { AssignedShard } from '../../src/replication/checkpoints.ts';

interface CopiesOptions {
  readonly node: (id: string) => { readonly assigned: Map<string, AssignedShard> };
  readonly requireLease: (epoch: number) => void;
  readonly entries: () => readonly Entry[];
  /** ms. */
  readonly now: () => number;
}

type Public<T> = { [Key in keyof T]: T[Key] };
type Aside = { -readonly [Key in keyof Omit<AsideCopy, 'ageMs'>]: AsideCopy[Key] } & { since: number };

export class MemoryCopies implements Public<CopyStore> {
  readonly #options: CopiesOptions;
  #copies: Aside[] = [];
  readonly #numbers = new Map<string, number>();
  readonly #marked = new Map<string, number>();

  constructor(options: CopiesOptions) {
    this.#options = options;
  }

  async aside(node: string | null = null): Promise<AsideCopy[]> {
    const now = this.#options.now();
    const found = this.#copies.filter((copy) => node === null || copy.node === node);
    return found.map(({ since, ...copy }) => ({ ...copy, ageMs: now - since }));
  }

  async isAside(node: string, physical: string): Promise<boolean> {
    return this.#copies.some((copy) => copy.node === node && copy.physical === physical);
  }

  async begin(
    epoch: number,
    { node, shard, physical, name }: Pick<AsideCopy, 'node' | 'shard' | 'physical' | 'name'>,
  ): Promise<number> {
    this.#options.requireLease(epoch);
    const copy = (this.#numbers.get(node) ?? 0) + 1;
    this.#numbers.set(node, copy);
    const { tenant, database } = this.#options.node(node).assigned.get(shard)!;
    const place = { node, shard, physical, name, tenant, database };
    this.#copies.push({
      ...place,
      state: 'building',
      fromLSN: 0,
      copy,
      abandoned: null,
      since: this.#options.now(),
    });
    return copy;
  }

  async created(
    epoch: number,
    { node, name }: Pick<AsideCopy, 'node' | 'name'>,
    found: Pick<AsideCopy, 'physical' | 'fromLSN'>,
  ): Promise<void> {
    this.#options.requireLease(epoch);
    const copy = this.#copies.find((each) => each.node === node && each.name === name);
    if (copy === undefined) throw new Error('the copy is no longer wanted');
    Object.assign(copy, { physical: found.physical, fromLSN: found.fromLSN });
  }

  async abandon(
    epoch: number,
    { node, physical }: Pick<AsideCopy, 'node' | 'physical'>,
    reason: string,
  ): Promise<void> {
    this.#options.requireLease(epoch);
    const copy = this.#copies.find((each) => each.node === node && each.physical === physical);
    if (copy !== undefined) copy.abandoned = reason;
  }

  async rename(
    epoch: number,
    { node, physical }: Pick<AsideCopy, 'node' | 'physical'>,
    name: string,
  ): Promise<void> {
    this.#options.requireLease(epoch);
    const copy = this.#copies.find((each) => each.node === node && each.physical === physical);
    if (copy === undefined) throw new Error('the copy is no longer wanted');
    copy.name = name;
  }

  async dropped(epoch: number, { node, physical }: Pick<AsideCopy, 'node' | 'physical'>): Promise<void> {
    this.#options.requireLease(epoch);
    this.#copies = this.#copies.filter((each) => each.node !== node || each.physical !== physical);
  }

  async marked(epoch: number, node: string, copy: number): Promise<void> {
    this.#options.requireLease(epoch);
    this.#marked.set(node, Math.max(this.#marked.get(node) ?? 0, copy));
  }

  async swap(
    epoch: number,
    { node, shard, physical }: Pick<AsideCopy, 'node' | 'shard' | 'physical'>,
    fromLSN: number,
  ): Promise<boolean> {
    await Promise.resolve();
    this.#options.requireLease(epoch);
    const { assigned } = this.#options.node(node);
    const old = assigned.get(shard);
    const copy = this.#copies.find((each) => each.node === node && each.physical === physical);
    if (old === undefined || copy === undefined || copy.state !== 'building') return false;
    if (copy.abandoned !== null || copy.copy > (this.#marked.get(node) ?? 0)) return false;
    const { tenant, database, name } = copy;
    assigned.set(shard, { physical, tenant, database, name, fromLSN, copy: copy.copy, suspect: null });
    this.#copies = this.#copies.filter((each) => each !== copy);
    const retired = { physical: old.physical, name: old.name, copy: old.copy, since: this.#options.now() };
    this.#copies.push({ ...copy, ...retired, state: 'retired' });
    return true;
  }

  /** As the checkpoint that deletes the collection does. */
  retire(node: string, shard: string, { suspect: _suspect, ...copy }: AssignedShard): void {
    this.#copies.push({
      ...copy,
      node,
      shard,
      state: 'retired',
      abandoned: null,
      since: this.#options.now(),
    });
  }

  async bodies(collection: string): Promise<CollectionBody[]> {
    return this.#options.entries().flatMap(({ kind, target, body }): CollectionBody[] => {
      if (target !== collection) return [];
      return kind === 'create_collection' || kind === 'modify_collection' ? [{ kind, body }] : [];
    });
  }

  async keepBody(): Promise<void> {
    await Promise.resolve();
  }
}
