// Which collection a page is about.

import type { LiveCollection } from '../../src/api/ui/live-feed.ts';

interface CollectionSelectProps {
  readonly collections: readonly LiveCollection[];
  readonly value: string;
  readonly onChange: (id: string) => void;
}

export function CollectionSelect({ collections, value, onChange }: CollectionSelectProps) {
  const isOneDatabase = new Set(collections.map(({ tenant, database }) => `${tenant}/${database}`)).size <= 1;
  const nameOf = ({ tenant, database, name }: LiveCollection): string =>
    isOneDatabase ? name : `${tenant}/${database}/${name}`;
  const byName = [...collections].sort((a, b) => nameOf(a).localeCompare(nameOf(b), 'en', { numeric: true }));
  return (
    <label class="field">
      <span>Collection</span>
      <select value={value} onChange={({ currentTarget }) => onChange(currentTarget.value)}>
        {byName.some(({ id }) => id === value) ? null : <option value={value}>Choose a collection</option>}
        {byName.map((collection) => (
          <option key={collection.id} value={collection.id}>
            {nameOf(collection)}
          </option>
        ))}
      </select>
    </label>
  );
}
