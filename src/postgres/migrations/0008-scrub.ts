// The scrub: how far the comparison of all copies has come, so that another leader continues it.

export const scrub = (s: string): string => `
create table ${s}.scrub (
  is_only boolean primary key default true check (is_only),
  started_at timestamptz not null default clock_timestamp(),
  finished_at timestamptz default clock_timestamp(),  -- null while it is in progress
  cursor uuid,                                        -- the last shard that was verified; shards go in order of their ids
  shards bigint not null default 0, records bigint not null default 0,
  unjudged bigint not null default 0, suspects bigint not null default 0, skipped bigint not null default 0,
  paused boolean not null default false,
  requested_at timestamptz
);
-- A new cluster has nothing to compare: its first scrub is due after one interval.
insert into ${s}.scrub default values;
`;
