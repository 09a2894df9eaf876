// A form for filters of records: they apply when it is submitted.

import { useState } from 'preact/hooks';
import { filterMembers, NO_FILTERS, type RecordFilters } from './filters.ts';

const FIELDS = {
  ids: ['Ids', 'a, b, c'],
  contains: ['Document contains', 'text'],
  where: ['Metadata filter, JSON', '{"year": {"$gte": 2020}}'],
} as const;
export type FilterField = keyof typeof FIELDS;

interface FilterFieldsProps {
  readonly fields: readonly FilterField[];
  readonly label: string;
  readonly onSubmit: (filters: RecordFilters) => void;
}

export function FilterFields({ fields, label, onSubmit }: FilterFieldsProps) {
  const [entered, enter] = useState(NO_FILTERS);
  const [error, setError] = useState<string | null>(null);
  const submit = (filters: RecordFilters): void => {
    try {
      filterMembers(filters);
    } catch (invalid) {
      setError((invalid as Error).message);
      return;
    }
    setError(null);
    onSubmit(filters);
  };
  return (
    <form
      class="filters"
      onSubmit={(event) => {
        event.preventDefault();
        submit(entered);
      }}
    >
      {fields.map((field) => (
        <FilterInput
          key={field}
          field={field}
          value={entered[field]}
          onInput={(value) => enter({ ...entered, [field]: value })}
        />
      ))}
      <button type="submit" class="primary">
        {label}
      </button>
      <button
        type="button"
        onClick={() => {
          enter(NO_FILTERS);
          submit(NO_FILTERS);
        }}
      >
        Clear
      </button>
      {error === null ? null : (
        <p class="error" role="alert">
          {error}
        </p>
      )}
    </form>
  );
}

interface FilterInputProps {
  readonly field: FilterField;
  readonly value: string;
  readonly onInput: (value: string) => void;
}

export function FilterInput({ field, value, onInput }: FilterInputProps) {
  const [label, placeholder] = FIELDS[field];
  return (
    <label class={`field ${field === 'where' ? 'is-code' : ''}`}>
      <span>{label}</span>
      <input
        type="text"
        placeholder={placeholder}
        value={value}
        spellcheck={false}
        onInput={({ currentTarget }) => onInput(currentTarget.value)}
      />
    </label>
  );
}
