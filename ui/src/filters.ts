// What is entered into forms, as the bodies of Chroma's API. Numbers stay as they were typed.

/** Text that cannot be used, and why. */
export class InvalidInput extends Error {
  override readonly name = 'InvalidInput';
}

export interface RecordFilters {
  /** Separated by commas or line ends. */
  readonly ids: string;
  /** A filter of Chroma as JSON; '' for none. */
  readonly where: string;
  /** Text that documents contain; '' for any. */
  readonly contains: string;
}

export const NO_FILTERS: RecordFilters = { ids: '', where: '', contains: '' };

export function hasFilters({ ids, where, contains }: RecordFilters): boolean {
  return [ids, where, contains].some((text) => text.trim() !== '');
}

/** The fields of a body for these filters, as JSON members. Throws InvalidInput. */
export function filterMembers({ ids, where, contains }: RecordFilters): string[] {
  const members: string[] = [];
  const listed = idsIn(ids);
  if (listed.length > 0) members.push(`"ids":${JSON.stringify(listed)}`);
  if (where.trim() !== '') members.push(`"where":${objectText(where)}`);
  if (contains !== '') members.push(`"where_document":${JSON.stringify({ $contains: contains })}`);
  return members;
}

export function idsIn(text: string): string[] {
  return text
    .split(/[,\n]/)
    .map((id) => id.trim())
    .filter((id) => id !== '');
}

function objectText(text: string): string {
  let parsed: unknown;
  try {
    parsed = JSON.parse(text);
  } catch {
    throw new InvalidInput('The metadata filter is not JSON. An example: {"year": {"$gte": 2020}}');
  }
  if (typeof parsed !== 'object' || parsed === null || Array.isArray(parsed))
    throw new InvalidInput('The metadata filter must be a JSON object, such as {"year": {"$gte": 2020}}.');
  return text.trim();
}

export interface Page {
  readonly limit: number;
  readonly offset: number;
}

/** The body of a get for a page of records, with documents and metadata. Throws InvalidInput. */
export function getBody(filters: RecordFilters, { limit, offset }: Page): string {
  const members = filterMembers(filters);
  return `{${[...members, `"limit":${limit}`, `"offset":${offset}`, '"include":["documents","metadatas"]'].join()}}`;
}

/** The body of a query for the nearest records. Throws InvalidInput. */
export function queryBody(vector: string, count: number, filters: RecordFilters): string {
  const members = filterMembers({ ...filters, ids: '' });
  const include = '"include":["documents","metadatas","distances"]';
  return `{${[`"query_embeddings":[${vectorText(vector)}]`, `"n_results":${count}`, ...members, include].join()}}`;
}

const NUMBER = /^-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?$/;

/** A vector as a JSON array: from an array, or from numbers separated by commas or spaces. Throws InvalidInput. */
export function vectorText(text: string): string {
  const numbers = text
    .trim()
    .replace(/^\[|\]$/g, '')
    .split(/[\s,]+/)
    .filter((part) => part !== '');
  if (numbers.length === 0) throw new InvalidInput('Enter a vector: numbers separated by commas.');
  const wrong = numbers.find((part) => !NUMBER.test(part));
  if (wrong !== undefined) throw new InvalidInput(`"${wrong.slice(0, 40)}" in the vector is not a number.`);
  return `[${numbers.join()}]`;
}
