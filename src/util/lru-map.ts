// A map bounded by its number of entries or by their weight, which evicts the least recently used entries.

export interface LruMapOptions<K, V> {
  /** Largest total weight, in the unit of `weigh`. */
  readonly weightMax: number;
  /** Weight of an entry, such as its bytes; 1 unless given, so that `weightMax` counts entries. */
  readonly weigh?: (value: V, key: K) => number;
  /** Called for each entry removed to make room, after its removal; not for those deleted, replaced or cleared. */
  readonly onEvict?: (key: K, value: V) => void;
}

interface Weighted<V> {
  readonly value: V;
  readonly weight: number;
}

export class LruMap<K, V> {
  readonly #options: LruMapOptions<K, V>;
  /** The least recently used first. */
  readonly #entries = new Map<K, Weighted<V>>();
  #weight = 0;

  constructor(options: LruMapOptions<K, V>) {
    this.#options = options;
  }

  get size(): number {
    return this.#entries.size;
  }

  /** Total weight of the entries: at most `weightMax`. */
  get weight(): number {
    return this.#weight;
  }

  /** The value, which becomes the most recently used; null when absent. */
  get(key: K): V | null {
    const entry = this.#entries.get(key);
    if (entry === undefined) return null;
    this.#entries.delete(key);
    this.#entries.set(key, entry);
    return entry.value;
  }

  /** The value, without counting as a use; null when absent. */
  peek(key: K): V | null {
    return this.#entries.get(key)?.value ?? null;
  }

  has(key: K): boolean {
    return this.#entries.has(key);
  }

  /** Stores the value as the most recently used and evicts others; a value heavier than `weightMax` is evicted too. */
  set(key: K, value: V): void {
    this.delete(key);
    const weight = this.#options.weigh?.(value, key) ?? 1;
    this.#entries.set(key, { value, weight });
    this.#weight += weight;
    if (this.#weight > this.#options.weightMax) this.#evict();
  }

  /** Removes the entry; false when absent. */
  delete(key: K): boolean {
    const entry = this.#entries.get(key);
    if (entry === undefined) return false;
    this.#entries.delete(key);
    this.#weight -= entry.weight;
    return true;
  }

  clear(): void {
    this.#entries.clear();
    this.#weight = 0;
  }

  /** Keys and values, the least recently used first; iterating does not count as a use. */
  *[Symbol.iterator](): IterableIterator<[K, V]> {
    for (const [key, { value }] of this.#entries) yield [key, value];
  }

  #evict(): void {
    for (const [key, { value }] of this.#entries) {
      this.delete(key);
      this.#options.onEvict?.(key, value);
      if (this.#weight <= this.#options.weightMax) return;
    }
  }
}
