// The log, the catalog and what is known of nodes. `s` is the quoted schema name: every object is qualified, so
// that connections need no search_path (poolers in transaction mode would not keep it).

export const logAndCatalog = (s: string): string => `
-- One row: where the log ends, and which version of the view gateways should have.
create table ${s}.head (
  one boolean primary key default true check (one),
  cluster uuid not null,
  log_id uuid not null,
  lsn bigint not null default 0,
  trimmed bigint not null default 0,          -- entries up to here are gone
  partition_end bigint not null default 0,    -- first LSN for which no partition exists yet
  -- Trimming frees whole partitions, so this is the grain of retention: so many small entries are about 20 MB, and a
  -- million entries stay below a hundred partitions.
  partition_entries bigint not null default 16384,
  view bigint not null default 1,
  primary_node text,
  primary_generation bigint not null default 0,
  capabilities jsonb
) with (fillfactor = 50);

create table ${s}.log (
  lsn bigint not null,
  kind text not null,
  target uuid,                                -- shard of a record entry, collection of a schema entry
  header text not null,                       -- JSON; everything the entry needs beside its body
  body bytea not null,                        -- the client's bytes, verbatim (I11)
  checksum bigint not null,                   -- CRC-32 over kind, target, header and body
  batch uuid not null,
  appended_at timestamptz not null default clock_timestamp(),
  primary key (lsn)
) partition by range (lsn);
-- Floats do not compress; trying costs more than the append itself.
alter table ${s}.log alter column body set storage external;

-- What each append answered, kept so that an append whose COMMIT went unanswered can be asked for again.
create table ${s}.append_batch (
  token uuid primary key,
  results jsonb not null,
  appended_at timestamptz not null default clock_timestamp()
);
create index on ${s}.append_batch (appended_at);

-- What only a node could decide, decided once (I5).
create table ${s}.decision (
  lsn bigint primary key,
  outcome text not null check (outcome in ('accepted', 'refused', 'quarantined')),
  status int not null,
  body bytea not null,
  decided_at timestamptz not null default clock_timestamp()
);

create table ${s}.tenant (
  name text primary key, deleted boolean not null default false, view bigint not null
);
create table ${s}.database (
  tenant text not null, name text not null, id uuid not null, created_lsn bigint not null,
  deleted boolean not null default false, view bigint not null,
  primary key (tenant, name)
);
create table ${s}.collection (
  id uuid primary key,
  tenant text not null, database text not null, name text not null,
  state text not null check (state in ('creating', 'ready', 'deleted')),
  pending_lsn bigint,                         -- an undecided entry that changes this collection
  created_lsn bigint not null,
  view bigint not null
);
create index on ${s}.collection (view);
create index on ${s}.collection (tenant, database) where state <> 'deleted';
-- Who holds a name; a row is there from the append that asks for the name until the append that gives it up.
create table ${s}.collection_name (
  tenant text not null, database text not null, name text not null,
  collection uuid not null, pending_lsn bigint,
  primary key (tenant, database, name)
);
create table ${s}.shard (
  id uuid primary key,
  collection uuid not null references ${s}.collection,
  dimension int,
  last_lsn bigint not null,
  live boolean not null                       -- takes records: decided, and not deleted
) with (fillfactor = 70);
create index on ${s}.shard (collection);

create table ${s}.node (
  id text primary key,
  url text not null,
  incarnation uuid not null,
  checkpoint bigint not null default 0,
  marker_lsn bigint not null default 0,       -- the checkpoint the node's own marker is known to hold
  state text not null,
  reason text,
  removed boolean not null default false,
  epoch bigint not null default 0,            -- the leader that may move this row (I7)
  view bigint not null
) with (fillfactor = 50);
create table ${s}.node_shard (
  node text not null references ${s}.node,
  shard uuid not null,
  physical uuid not null,
  from_lsn bigint not null,
  suspect text,                               -- why its content may differ from the log; null when healthy
  view bigint not null,
  primary key (node, shard)
);
create index on ${s}.node_shard (view);

create table ${s}.lease (
  one boolean primary key default true check (one),
  epoch bigint not null default 0,
  holder text,
  renewal bigint not null default 0
) with (fillfactor = 50);
insert into ${s}.lease default values;

create table ${s}.event (
  id bigint generated always as identity primary key,
  at timestamptz not null default clock_timestamp(),
  level text not null, kind text not null, node text, detail jsonb not null default '{}'
);

insert into ${s}.head (cluster, log_id) values (gen_random_uuid(), gen_random_uuid());
insert into ${s}.tenant values ('default_tenant', false, 1);
-- Chroma gives its default database the nil id (rust/sysdb migrations); clients see the same.
insert into ${s}.database values
  ('default_tenant', 'default_database', '00000000-0000-0000-0000-000000000000', 0, false, 1);

create function ${s}.next_view() returns bigint language sql as $$
  update ${s}.head set view = view + 1 returning view
$$;

-- A partition is made beside the table and attached: CREATE ... PARTITION OF would block every reader.
create function ${s}.extend_log(p_from bigint, p_to bigint) returns void language plpgsql as $$
declare
  part text := 'log_' || p_from;
begin
  execute format('create table ${s}.%I (like ${s}.log including defaults including constraints including storage)', part);
  execute format('alter table ${s}.%I add primary key (lsn)', part);
  execute format('alter table ${s}.log attach partition ${s}.%I for values from (%s) to (%s)', part, p_from, p_to);
end $$;
`;
