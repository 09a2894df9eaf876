// How the cluster did over time: points every 10 s, and what they add up to over 5 minutes and an hour.

export const history = (s: string): string => `
-- Histograms add up element by element, over time and over gateways; quantiles do not.
create function ${s}.add_counts(a bigint[], b bigint[]) returns bigint[] language sql immutable as $$
  select coalesce(array_agg(coalesce(x.a, 0) + coalesce(x.b, 0) order by x.place), '{}')
  from unnest(a, b) with ordinality as x(a, b, place);
$$;
create aggregate ${s}.sum_counts(bigint[]) (sfunc = ${s}.add_counts, stype = bigint[], initcond = '{}');

-- step: seconds that a point covers; at: the beginning of that time.
-- What one gateway served. reads, writes: counts in the buckets of DURATIONS, of successful requests.
create table ${s}.history_gateway (
  step int not null, at timestamptz not null, gateway text not null,
  requests bigint not null, failed bigint not null, reads bigint[] not null, writes bigint[] not null,
  memory_bytes bigint not null, memory_percent real not null, cpu_percent real not null,
  primary key (step, at, gateway)
);
-- One node as the leader saw it. serving: share of the time; lag and suspect collections: the largest.
create table ${s}.history_node (
  step int not null, at timestamptz not null, node text not null,
  serving real not null, lag_entries bigint not null, lag_ms bigint not null, suspects int not null,
  calls bigint[] not null,
  primary key (step, at, node)
);
-- The size of the data. Null: it could not be read. index_bytes: what the vectors of all records need in the memory of
-- one node, by estimate.
create table ${s}.history_data (
  step int not null, at timestamptz not null,
  head bigint not null, log_bytes bigint, database_bytes bigint, collections bigint,
  records bigint, index_bytes bigint,
  primary key (step, at)
);
`;
