// Runs steps of a client on one of two servers, and returns results and errors as plain values with numbered ids, because
// ids are random.

export type ClientStep<Context> = readonly [name: string, run: (context: Context) => Promise<unknown>];

const UUID = /[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}/g;

export class Side<Context> {
  readonly #context: Context;
  readonly #url: string;
  readonly #ids = new Map<string, string>();

  constructor(url: string, context: Context) {
    this.#url = url;
    this.#context = context;
  }

  /** The result of the step, or the class and message of its error. */
  async run([, step]: ClientStep<Context>): Promise<unknown> {
    try {
      return this.#plain({ result: (await step(this.#context)) ?? null });
    } catch (error) {
      if (!(error instanceof Error)) throw error;
      return this.#plain({ error: error.constructor.name, name: error.name, message: error.message });
    }
  }

  #plain(value: object): unknown {
    return JSON.parse(plainText(JSON.stringify(value), this.#url, this.#ids));
  }
}

/** Text without the server's address and with its ids numbered; `ids` holds the numbers. */
export function plainText(text: string, url: string, ids: Map<string, string>): string {
  return text.replaceAll(url, '<url>').replaceAll(UUID, (id) => {
    const known = ids.get(id) ?? `<id ${ids.size + 1}>`;
    ids.set(id, known);
    return known;
  });
}

/** Sorted by name, because a server lists by its random ids and Polychrome in the order of creation. */
export function byName<T extends { readonly name: string }>(list: readonly T[]): T[] {
  return [...list].sort((a, b) => (a.name < b.name ? -1 : 1));
}
