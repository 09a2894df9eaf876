// The collections with their sizes: a page of its own, and the largest ones on the overview.

import { useState } from 'preact/hooks';
import type { LiveCollection } from '../../src/api/ui/live-feed.ts';
import { bytesText, countText, pluralText } from './format.ts';
import { linkTo } from './route.ts';
import { Shape } from './state-badge.tsx';

const COLUMNS = [
  ['name', 'Name', false],
  ['records', 'Records', true],
  ['dimension', 'Dimension', true],
  ['bytes', 'Vectors', true],
] as const;
type Column = (typeof COLUMNS)[number][0];

interface Sorting {
  readonly by: Column;
  readonly isDescending: boolean;
}

interface CollectionsProps {
  /** Null: not known yet. */
  readonly collections: readonly LiveCollection[] | null;
  /** How many there are; of very many, only the first are listed. */
  readonly total: number;
}

export function LargestCollections({
  collections,
  total,
  shown,
}: CollectionsProps & { readonly shown: number }) {
  const largest = sorted(collections ?? [], { by: 'records', isDescending: true }).slice(0, shown);
  return (
    <section class="panel" aria-labelledby="collections-title">
      <div class="section-head">
        <h2 id="collections-title">Collections</h2>
        <a href={linkTo('collections')}>
          {collections === null ? 'All collections' : `All ${countText(total)}`}
        </a>
      </div>
      {collections === null ? (
        <p class="empty loading">Reading collections…</p>
      ) : collections.length === 0 ? (
        <NoCollections />
      ) : (
        <CollectionTable collections={largest} sorting={null} sort={() => undefined} />
      )}
    </section>
  );
}

export function CollectionsPage({ collections, total }: CollectionsProps) {
  const [filter, setFilter] = useState('');
  const [sorting, sort] = useState<Sorting>({ by: 'name', isDescending: false });
  const wanted = filter.trim().toLowerCase();
  const found = (collections ?? []).filter(({ tenant, database, name }) =>
    `${tenant}/${database}/${name}`.toLowerCase().includes(wanted),
  );
  return (
    <section class="panel" aria-labelledby="collections-title">
      <div class="section-head">
        <h1 id="collections-title">Collections</h1>
        <label class="search">
          <span class="hidden">Filter by name</span>
          <input
            type="search"
            placeholder="Filter by name"
            value={filter}
            onInput={({ currentTarget }) => setFilter(currentTarget.value)}
          />
        </label>
        <span class="note" role="status">
          {collections === null ? '' : totalsText(found, collections.length, total)}
        </span>
      </div>
      {collections === null ? (
        <p class="empty loading">Reading collections…</p>
      ) : collections.length === 0 ? (
        <NoCollections />
      ) : found.length === 0 ? (
        <p class="empty">No collection has "{filter}" in its name.</p>
      ) : (
        <CollectionTable
          collections={sorted(found, sorting)}
          sorting={sorting}
          sort={(by) => sort({ by, isDescending: by === sorting.by ? !sorting.isDescending : by !== 'name' })}
        />
      )}
    </section>
  );
}

function totalsText(found: readonly LiveCollection[], all: number, total: number): string {
  const records = found.reduce((sum, collection) => sum + (collection.records ?? 0), 0);
  const of =
    found.length === all
      ? pluralText(all, 'collection')
      : `${found.length} of ${pluralText(all, 'collection')}`;
  const unlisted = total > all ? `; ${countText(total - all)} more are not listed` : '';
  return `${of}, ${pluralText(records, 'record')}${unlisted}`;
}

function NoCollections() {
  return (
    <div class="empty">
      <p>There is no collection yet. Any Chroma client creates one:</p>
      <pre tabIndex={0}>{`import chromadb
client = chromadb.HttpClient(host="${location.hostname}", port=${location.port || 80})
client.get_or_create_collection("notes").upsert(ids=["a"], embeddings=[[0.1, 0.2, 0.3]])`}</pre>
    </div>
  );
}

const bytesOf = ({ records, dimension }: LiveCollection): number | null =>
  records === null || dimension === null ? null : records * dimension * 4;

function sorted(collections: readonly LiveCollection[], { by, isDescending }: Sorting): LiveCollection[] {
  const valueOf = (collection: LiveCollection): number =>
    (by === 'bytes' ? bytesOf(collection) : by === 'name' ? 0 : collection[by]) ?? -1;
  const byName = (a: LiveCollection, b: LiveCollection): number =>
    a.name.localeCompare(b.name, 'en', { numeric: true });
  const sign = isDescending ? -1 : 1;
  return [...collections].sort((a, b) =>
    by === 'name' ? sign * byName(a, b) : sign * (valueOf(a) - valueOf(b)) || byName(a, b),
  );
}

interface TableProps {
  readonly collections: readonly LiveCollection[];
  /** Null: it cannot be sorted. */
  readonly sorting: Sorting | null;
  readonly sort: (by: Column) => void;
}

function CollectionTable({ collections, sorting, sort }: TableProps) {
  const isOneDatabase =
    new Set(collections.map(({ tenant, database }) => `${tenant}/${database}`)).size === 1;
  return (
    <table class="list collections">
      <thead>
        <tr>
          {COLUMNS.map(([column, label, isNumber]) => (
            <th
              key={column}
              scope="col"
              class={isNumber ? 'number' : ''}
              {...(sorting?.by === column
                ? { 'aria-sort': sorting.isDescending ? ('descending' as const) : ('ascending' as const) }
                : {})}
            >
              {sorting === null ? (
                label
              ) : (
                <button type="button" class="sort" onClick={() => sort(column)}>
                  {label}
                </button>
              )}
            </th>
          ))}
        </tr>
      </thead>
      <tbody>
        {collections.map((collection) => (
          <tr key={collection.id}>
            <th scope="row">
              <a href={linkTo('records', { collection: collection.id })}>{collection.name}</a>
              {isOneDatabase ? null : (
                <span class="path">
                  {collection.tenant}/{collection.database}
                </span>
              )}
              {collection.suspectOn.length === 0 ? null : (
                <span class="state critical">
                  <Shape kind="critical" />
                  suspect on {collection.suspectOn.join(', ')}
                </span>
              )}
            </th>
            <td class="number">{countText(collection.records)}</td>
            <td class="number">{countText(collection.dimension)}</td>
            <td class="number">{bytesText(bytesOf(collection))}</td>
          </tr>
        ))}
      </tbody>
    </table>
  );
}
