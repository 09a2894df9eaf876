// Several gateways serve at once: which they are, and what those that do not lead must read in one snapshot (R16).

export const gateways = (s: string): string => `
-- A gateway that was not seen for three leases serves nothing that could be outdated, and counts no more.
create table ${s}.gateway (
  id text primary key,
  address text not null,
  version text not null,
  started_at timestamptz not null default clock_timestamp(),
  seen_at timestamptz not null default clock_timestamp(),
  nodes_reached int not null default 0        -- nodes whose probes it succeeds in
);

-- Registers a gateway, and returns how many others are registered. Under the lock of the lease, so that of two gateways
-- that start together one sees the other.
create function ${s}.register_gateway(p_id text, p_address text, p_version text, p_expiry_ms float8) returns int
language plpgsql as $$
declare
  others int;
begin
  perform from ${s}.lease for update;
  insert into ${s}.gateway (id, address, version) values (p_id, p_address, p_version)
    on conflict (id) do update set started_at = clock_timestamp(), seen_at = clock_timestamp();
  select count(*) into others from ${s}.gateway
    where id <> p_id and seen_at > clock_timestamp() - p_expiry_ms * interval '1 ms';
  return others;
end $$;

-- The term in which the state was recorded: a leader records the states that it takes over, too.
alter table ${s}.node add column state_epoch bigint not null default 0;

-- The view number of the last decision that nodes apply an entry only in part, or not at all.
alter table ${s}.head add column exceptions bigint not null default 0;
create function ${s}.note_exception() returns trigger language plpgsql as $$
begin
  update ${s}.head set view = view + 1, exceptions = view + 1;
  return new;
end $$;
create trigger note_exception after insert on ${s}.decision for each row
  when (new.outcome in ('quarantined', 'partly_applied')) execute function ${s}.note_exception();

-- The dimension of a shard is fixed by its first write, through whichever gateway.
create function ${s}.note_dimension() returns trigger language plpgsql as $$
begin
  update ${s}.collection set view = ${s}.next_view() where id = new.collection;
  return new;
end $$;
create trigger note_dimension after update of dimension on ${s}.shard for each row
  when (old.dimension is null and new.dimension is not null) execute function ${s}.note_dimension();
`;
