// The record browser: the records of a collection by pages, with filters.

import { useEffect, useState } from 'preact/hooks';
import type { LiveCollection } from '../../src/api/ui/live-feed.ts';
import { post } from './api.ts';
import { CollectionSelect } from './collection-select.tsx';
import { Dialog } from './dialog.tsx';
import { FilterFields } from './filter-fields.tsx';
import { getBody, hasFilters, NO_FILTERS, type RecordFilters } from './filters.ts';
import { countText } from './format.ts';
import { metadataText, recordsOf, type Hit } from './hits.ts';
import { linkTo, type Route } from './route.ts';

interface RecordsPageProps {
  readonly collections: readonly LiveCollection[] | null;
  readonly route: Route;
}

const PAGE_SIZE = 25;

export function RecordsPage({ collections, route }: RecordsPageProps) {
  const id = route.parameters.get('collection') ?? '';
  const collection = collections?.find((each) => each.id === id) ?? null;
  return (
    <section class="panel" aria-labelledby="records-title">
      <div class="section-head">
        <h1 id="records-title">Records</h1>
        {collections === null ? null : (
          <CollectionSelect
            collections={collections}
            value={id}
            onChange={(chosen) => (location.hash = linkTo('records', { collection: chosen }))}
          />
        )}
        {collection === null ? null : <a href={linkTo('query', { collection: id })}>Query this collection</a>}
      </div>
      {collections === null ? (
        <p class="empty loading">Reading collections…</p>
      ) : collection === null ? (
        <p class="empty">{id === '' ? 'Choose a collection.' : 'This collection does not exist any more.'}</p>
      ) : (
        <Browser key={id} collection={collection} />
      )}
    </section>
  );
}

function Browser({ collection }: { readonly collection: LiveCollection }) {
  const [filters, setFilters] = useState<RecordFilters>(NO_FILTERS);
  const [offset, setOffset] = useState(0);
  const [shown, show] = useState<Hit | null>(null);
  const { records, error, isLoading } = useRecords(collection.id, filters, offset);
  const isFiltered = hasFilters(filters);
  return (
    <>
      <FilterFields
        fields={['ids', 'contains', 'where']}
        label="Filter"
        onSubmit={(entered) => {
          setOffset(0);
          setFilters(entered);
        }}
      />
      {error === null ? null : (
        <p class="error" role="alert">
          {error}
        </p>
      )}
      {records === null ? (
        error === null ? (
          <p class="empty loading">Reading records…</p>
        ) : null
      ) : records.length === 0 ? (
        <p class="empty">
          {isFiltered
            ? 'No record matches the filter.'
            : offset > 0
              ? 'There are no more records.'
              : 'It holds no records.'}
        </p>
      ) : (
        <RecordTable
          records={records.slice(0, PAGE_SIZE)}
          offset={offset}
          onShow={show}
          isDimmed={isLoading}
        />
      )}
      <nav class="paging" aria-label="Pages">
        <button
          type="button"
          disabled={offset === 0}
          onClick={() => setOffset(Math.max(0, offset - PAGE_SIZE))}
        >
          Previous
        </button>
        <span class="note" role="status">
          {rangeText(records, offset, isFiltered ? null : collection.records)}
        </span>
        <button
          type="button"
          disabled={records === null || records.length <= PAGE_SIZE}
          onClick={() => setOffset(offset + PAGE_SIZE)}
        >
          Next
        </button>
      </nav>
      {shown === null ? null : (
        <RecordDialog collection={collection.id} record={shown} onClose={() => show(null)} />
      )}
    </>
  );
}

function rangeText(records: readonly Hit[] | null, offset: number, total: number | null): string {
  if (records === null || records.length === 0) return '';
  const range = `${countText(offset + 1)} to ${countText(offset + Math.min(records.length, PAGE_SIZE))}`;
  return total === null ? range : `${range} of ${countText(total)}`;
}

/** A page of records and, if there is one, the first of the next page. */
function useRecords(collection: string, filters: RecordFilters, offset: number) {
  const [records, setRecords] = useState<readonly Hit[] | null>(null);
  const [error, setError] = useState<string | null>(null);
  const [isLoading, setLoading] = useState(true);
  useEffect(() => {
    let isCurrent = true;
    const load = async (): Promise<void> => {
      setLoading(true);
      try {
        const body = getBody(filters, { limit: PAGE_SIZE + 1, offset });
        const read = recordsOf(await post(`collections/${collection}/get`, body));
        if (!isCurrent) return;
        setRecords(read);
        setError(null);
      } catch (failed) {
        if (!isCurrent) return;
        setRecords(null);
        setError((failed as Error).message);
      }
      setLoading(false);
    };
    void load();
    return () => {
      isCurrent = false;
    };
  }, [collection, filters, offset]);
  return { records, error, isLoading };
}

interface RecordTableProps {
  readonly records: readonly Hit[];
  readonly offset: number;
  readonly onShow: (record: Hit) => void;
  readonly isDimmed: boolean;
}

function RecordTable({ records, offset, onShow, isDimmed }: RecordTableProps) {
  return (
    <table class={`list records${isDimmed ? ' is-dimmed' : ''}`}>
      <thead>
        <tr>
          <th scope="col" class="number">
            #
          </th>
          <th scope="col">Id</th>
          <th scope="col">Document</th>
          <th scope="col">Metadata</th>
        </tr>
      </thead>
      <tbody>
        {records.map((record, at) => (
          <tr key={record.id}>
            <td class="number">{countText(offset + at + 1)}</td>
            <th scope="row">
              <button type="button" class="link" onClick={() => onShow(record)}>
                {record.id}
              </button>
            </th>
            <td class="snippet">{record.document ?? <span class="note">none</span>}</td>
            <td class="snippet code">{metadataText(record.metadata)}</td>
          </tr>
        ))}
      </tbody>
    </table>
  );
}

interface RecordDialogProps {
  readonly collection: string;
  readonly record: Hit;
  readonly onClose: () => void;
}

export function RecordDialog({ collection, record, onClose }: RecordDialogProps) {
  const [vector, setVector] = useState<readonly number[] | null>(null);
  const [error, setError] = useState<string | null>(null);
  useEffect(() => {
    vectorOf(collection, record.id).then(setVector, (failed: unknown) => setError((failed as Error).message));
  }, [collection, record.id]);
  return (
    <Dialog title={record.id} onClose={onClose} isWide>
      <h3>Document</h3>
      {record.document === null ? (
        <p class="note">It has none.</p>
      ) : (
        <pre class="wrapped" tabIndex={0} aria-label="Document">
          {record.document}
        </pre>
      )}
      <h3>Metadata</h3>
      {record.metadata === null ? (
        <p class="note">It has none.</p>
      ) : (
        <pre tabIndex={0} aria-label="Metadata">
          {metadataText(record.metadata, 2)}
        </pre>
      )}
      <h3>Vector{vector === null ? '' : `, ${countText(vector.length)} dimensions`}</h3>
      {error === null ? (
        <pre class="wrapped vector" tabIndex={0} aria-label="Vector">
          {vector === null ? 'Reading…' : vector.join(', ')}
        </pre>
      ) : (
        <p class="error">{error}</p>
      )}
      <p class="buttons">
        <a class="button" href={linkTo('query', { collection, id: record.id })} onClick={onClose}>
          Find similar records
        </a>
      </p>
    </Dialog>
  );
}

/** The vector of a record. Throws when there is no such record. */
export async function vectorOf(collection: string, id: string): Promise<readonly number[]> {
  const body = JSON.stringify({ ids: [id], include: ['embeddings'] });
  const { embeddings } = await post<{ embeddings: (readonly number[])[] | null }>(
    `collections/${collection}/get`,
    body,
  );
  const [vector] = embeddings ?? [];
  if (vector === undefined) throw new Error(`The collection has no record "${id}".`);
  return vector;
}
