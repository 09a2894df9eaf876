// The query console: one query on every node, and the hits side by side.

import { useEffect, useState } from 'preact/hooks';
import type { LiveCollection } from '../../src/api/ui/live-feed.ts';
import { post } from './api.ts';
import { CollectionSelect } from './collection-select.tsx';
import { FilterInput } from './filter-fields.tsx';
import { getBody, idsIn, InvalidInput, NO_FILTERS, queryBody, type RecordFilters } from './filters.ts';
import { countText, millisText } from './format.ts';
import {
  comparisonText,
  differingRanks,
  hitsOf,
  referenceOf,
  type EachNodeResponse,
  type Hit,
  type NodeHits,
} from './hits.ts';
import { RecordDialog, vectorOf } from './records.tsx';
import { linkTo, type Route } from './route.ts';

const KINDS = {
  vector: 'Vector',
  similar: 'Similar to a record',
  text: 'Text',
  ids: 'Ids',
} as const;
type Kind = keyof typeof KINDS;

interface Entered {
  readonly kind: Kind;
  readonly vector: string;
  readonly id: string;
  readonly count: number;
  readonly filters: RecordFilters;
}

const COUNT_MAX = 100;

interface QueryPageProps {
  readonly collections: readonly LiveCollection[] | null;
  readonly route: Route;
}

export function QueryPage({ collections, route }: QueryPageProps) {
  const id = route.parameters.get('collection') ?? '';
  const collection = collections?.find((each) => each.id === id) ?? null;
  return (
    <section class="panel" aria-labelledby="query-title">
      <div class="section-head">
        <h1 id="query-title">Query</h1>
        <span class="note">runs on every node, to compare what each returns</span>
      </div>
      {collections === null ? (
        <p class="empty loading">Reading collections…</p>
      ) : collections.length === 0 ? (
        <p class="empty">There is no collection yet.</p>
      ) : (
        <>
          <div class="filters">
            <CollectionSelect
              collections={collections}
              value={id}
              onChange={(chosen) => (location.hash = linkTo('query', { collection: chosen }))}
            />
          </div>
          {collection === null ? (
            <p class="empty">Choose a collection.</p>
          ) : (
            <Console key={id} collection={collection} similarTo={route.parameters.get('id')} />
          )}
        </>
      )}
    </section>
  );
}

interface ConsoleProps {
  readonly collection: LiveCollection;
  /** A record whose neighbours are wanted at once. */
  readonly similarTo: string | null;
}

function Console({ collection, similarTo }: ConsoleProps) {
  const [entered, enter] = useState<Entered>({
    kind: similarTo === null ? 'vector' : 'similar',
    vector: '',
    id: similarTo ?? '',
    count: 10,
    filters: NO_FILTERS,
  });
  const [nodes, setNodes] = useState<readonly NodeHits[] | null>(null);
  const [error, setError] = useState<string | null>(null);
  const [isRunning, setRunning] = useState(false);
  const [shown, show] = useState<Hit | null>(null);
  const run = async (): Promise<void> => {
    setRunning(true);
    try {
      const { action, body } = await requestOf(collection.id, entered);
      setNodes(hitsOf(await post<EachNodeResponse>(`collections/${collection.id}/nodes/${action}`, body)));
      setError(null);
    } catch (failed) {
      setNodes(null);
      setError((failed as Error).message);
    }
    setRunning(false);
  };
  useEffect(() => {
    if (similarTo !== null) void run();
  }, []);
  return (
    <>
      <form
        class="console"
        onSubmit={(event) => {
          event.preventDefault();
          void run();
        }}
      >
        <QueryFields collection={collection} entered={entered} enter={enter} />
        <button type="submit" class="primary" disabled={isRunning}>
          {isRunning ? 'Running…' : 'Run'}
        </button>
      </form>
      {error === null ? null : (
        <p class="error" role="alert">
          {error}
        </p>
      )}
      {nodes === null ? null : (
        <>
          <p class="comparison" role="status">
            {comparisonText(nodes)}
          </p>
          <HitColumns nodes={nodes} onShow={show} />
        </>
      )}
      {shown === null ? null : (
        <RecordDialog collection={collection.id} record={shown} onClose={() => show(null)} />
      )}
    </>
  );
}

interface QueryFieldsProps {
  readonly collection: LiveCollection;
  readonly entered: Entered;
  readonly enter: (entered: Entered) => void;
}

function QueryFields({ collection, entered, enter }: QueryFieldsProps) {
  const { kind, vector, id, count, filters } = entered;
  const filter = (field: 'ids' | 'contains' | 'where') => (
    <FilterInput
      field={field}
      value={filters[field]}
      onInput={(value) => enter({ ...entered, filters: { ...filters, [field]: value } })}
    />
  );
  return (
    <>
      <div class="segments" role="group" aria-label="Kind of query">
        {Object.entries(KINDS).map(([value, label]) => (
          <button
            key={value}
            type="button"
            aria-pressed={value === kind}
            onClick={() => enter({ ...entered, kind: value as Kind })}
          >
            {label}
          </button>
        ))}
      </div>
      {kind === 'vector' ? (
        <label class="field is-code is-wide">
          <span>
            Vector{collection.dimension === null ? '' : ` of ${countText(collection.dimension)} numbers`}
          </span>
          <textarea
            rows={3}
            placeholder="[0.1, 0.2, 0.3]"
            spellcheck={false}
            value={vector}
            onInput={({ currentTarget }) => enter({ ...entered, vector: currentTarget.value })}
          />
        </label>
      ) : null}
      {kind === 'similar' ? (
        <label class="field">
          <span>Id of the record</span>
          <input
            type="text"
            value={id}
            spellcheck={false}
            onInput={({ currentTarget }) => enter({ ...entered, id: currentTarget.value })}
          />
        </label>
      ) : null}
      {kind === 'ids' ? filter('ids') : filter('contains')}
      {kind === 'ids' ? null : filter('where')}
      <label class="field is-short">
        <span>Hits</span>
        <input
          type="number"
          min={1}
          max={COUNT_MAX}
          value={count}
          onInput={({ currentTarget }) => enter({ ...entered, count: Number(currentTarget.value) })}
        />
      </label>
    </>
  );
}

/** The request for what was entered. Throws InvalidInput. */
async function requestOf(
  collection: string,
  { kind, vector, id, count, filters }: Entered,
): Promise<{ readonly action: 'get' | 'query'; readonly body: string }> {
  const hits = Math.max(1, Math.min(COUNT_MAX, Math.round(count) || 1));
  const page = { limit: hits, offset: 0 };
  switch (kind) {
    case 'vector':
      return { action: 'query', body: queryBody(vector, hits, filters) };
    case 'similar': {
      if (id.trim() === '') throw new InvalidInput('Enter the id of a record.');
      const found = await vectorOf(collection, id.trim());
      return { action: 'query', body: queryBody(found.join(), hits, filters) };
    }
    case 'text':
      if (filters.contains === '' && filters.where.trim() === '')
        throw new InvalidInput('Enter a text that documents contain, or a metadata filter.');
      return { action: 'get', body: getBody({ ...filters, ids: '' }, page) };
    case 'ids':
      if (idsIn(filters.ids).length === 0) throw new InvalidInput('Enter the ids of records.');
      return { action: 'get', body: getBody({ ...NO_FILTERS, ids: filters.ids }, page) };
    default:
      return kind satisfies never;
  }
}

interface HitColumnsProps {
  readonly nodes: readonly NodeHits[];
  readonly onShow: (hit: Hit) => void;
}

function HitColumns({ nodes, onShow }: HitColumnsProps) {
  const reference = referenceOf(nodes) ?? [];
  return (
    <div class="hit-columns" tabIndex={0} role="region" aria-label="Hits by node">
      {nodes.map(({ node, isPrimary, applied, ms, hits, reason }) => {
        const differing = differingRanks(hits ?? [], reference);
        return (
          <section key={node} aria-label={node} data-node={node}>
            <header>
              <h2>{node}</h2>
              {isPrimary ? <span class="tag">primary</span> : null}
              <span class="note">
                {ms === null ? '' : `${millisText(ms)}, `}LSN {countText(applied)}
              </span>
            </header>
            {hits === null ? (
              <p class="empty">{reason}</p>
            ) : hits.length === 0 ? (
              <p class="empty">No hits.</p>
            ) : (
              <ol>
                {hits.map((hit, rank) => (
                  <li key={hit.id} class={differing.has(rank) ? 'differs' : ''}>
                    <button type="button" class="link" onClick={() => onShow(hit)}>
                      {hit.id}
                    </button>
                    {differing.has(rank) ? <span class="tag">differs</span> : null}
                    <b class="number">{hit.distance === null ? '' : hit.distance.toPrecision(5)}</b>
                    {hit.document === null ? null : <p class="snippet">{hit.document}</p>}
                  </li>
                ))}
              </ol>
            )}
          </section>
        );
      })}
    </div>
  );
}
