// Copies of shards beside each other on one node: which one is in use, which is being built, which waits to be dropped;
// and the bodies from which a collection is created anew.

export const copies = (s: string): string => `
-- The name by which the node knows the copy: a copy built beside another has a random one.
alter table ${s}.node_shard add column name text;
update ${s}.node_shard n set name = c.name
  from ${s}.shard x join ${s}.collection c on c.id = x.collection where x.id = n.shard;
delete from ${s}.node_shard where name is null;
alter table ${s}.node_shard alter column name set not null;
-- building: not in use yet, from_lsn is the LSN after which its content may be older than the log.
-- current: in use; everything up to from_lsn is in it, whatever the checkpoint of the node.
-- retired: replaced; dropped after a grace period.
alter table ${s}.node_shard add column state text not null default 'current'
  check (state in ('building', 'current', 'retired'));
alter table ${s}.node_shard add column since timestamptz not null default clock_timestamp();
-- Number of the copy on its node; 0 when the node created it from the log.
alter table ${s}.node_shard add column copy bigint not null default 0;
alter table ${s}.node_shard drop constraint node_shard_pkey;
alter table ${s}.node_shard add primary key (node, physical);
create unique index node_shard_current on ${s}.node_shard (node, shard) where state = 'current';
-- Numbers given to copies on the node, and the one that its marker is known to hold.
alter table ${s}.node add column copies bigint not null default 0;
alter table ${s}.node add column marker_copy bigint not null default 0;

-- The bodies of a collection's create and of the modifications that followed, verbatim. One that only replaced the
-- metadata goes with the next that does so.
create table ${s}.collection_body (
  collection uuid not null, lsn bigint not null, kind text not null, body bytea not null,
  only_metadata boolean not null,
  primary key (collection, lsn)
);
alter table ${s}.collection_body alter column body set storage external;
-- Collections whose create was trimmed have no body yet (repair/create-body.ts).
insert into ${s}.collection_body
  select l.target, l.lsn, l.kind, l.body, false
  from ${s}.log l join ${s}.decision d on d.lsn = l.lsn join ${s}.collection c on c.id = l.target
  where l.kind in ('create_collection', 'modify_collection') and d.outcome = 'accepted' and c.state <> 'deleted'
    and exists (select from ${s}.log k where k.target = l.target and k.kind = 'create_collection');

create function ${s}.keep_body() returns trigger language plpgsql as $$
declare
  e record;
  j jsonb;
begin
  if new.outcome <> 'accepted' then return new; end if;
  select kind, target, header, body into e from ${s}.log
    where lsn = new.lsn and kind in ('create_collection', 'modify_collection');
  if not found then return new; end if;
  j := e.header::jsonb;
  if e.kind = 'create_collection' then
    insert into ${s}.collection_body values (e.target, new.lsn, e.kind, e.body, false) on conflict do nothing;
  elsif j->'replaces' is null or j->'replaces' <> '[]'::jsonb then
    if j->'replaces' ? 'metadata' then
      delete from ${s}.collection_body where collection = e.target and kind = e.kind and only_metadata;
    end if;
    insert into ${s}.collection_body values
      (e.target, new.lsn, e.kind, e.body, coalesce(j->'replaces' = '["metadata"]'::jsonb, false))
      on conflict do nothing;
  end if;
  return new;
end $$;
-- With every decision, whichever function records it.
create trigger keep_body after insert on ${s}.decision for each row execute function ${s}.keep_body();

drop function ${s}.checkpoint(bigint, text[], bigint[], text[], uuid[], uuid[], bigint[]);

-- Moves the checkpoint of several nodes; what a node created, renamed or dropped (physical is null) on the way is
-- recorded with it. Never lowers (I4): after a lost response it may already be higher.
create function ${s}.checkpoint(
  p_epoch bigint, p_nodes text[], p_lsns bigint[],
  p_shard_nodes text[], p_shards uuid[], p_physical uuid[], p_names text[], p_from bigint[]
) returns boolean language plpgsql as $$
declare
  moved int;
begin
  update ${s}.node n set checkpoint = greatest(n.checkpoint, x.lsn)
    from unnest(p_nodes, p_lsns) as x(id, lsn)
    where n.id = x.id and n.epoch = p_epoch;
  get diagnostics moved = row_count;
  if moved <> cardinality(p_nodes) then
    raise exception 'a checkpoint was refused: the lease has moved on' using errcode = 'PC002';
  end if;
  if cardinality(p_shards) > 0 then
    delete from ${s}.node_shard n using unnest(p_shard_nodes, p_shards, p_physical) as x(node, shard, physical)
      where n.node = x.node and n.shard = x.shard and n.state = 'current' and n.physical is distinct from x.physical;
    insert into ${s}.node_shard (node, shard, physical, name, from_lsn, view)
      select x.node, x.shard, x.physical, x.name, x.lsn, ${s}.next_view()
      from unnest(p_shard_nodes, p_shards, p_physical, p_names, p_from) as x(node, shard, physical, name, lsn)
      where x.physical is not null
      on conflict (node, physical) do update set name = excluded.name, view = excluded.view;
  end if;
  return true;
end $$;

-- Puts a finished copy into use and retires the one it replaces. False, and nothing changes, when the lease has moved
-- on, the copy is no longer wanted, or the node's marker is not known to hold its number.
create function ${s}.swap_copy(p_epoch bigint, p_node text, p_shard uuid, p_physical uuid, p_from bigint)
returns boolean language plpgsql as $$
declare
  n ${s}.node%rowtype;
begin
  select * into n from ${s}.node where id = p_node and epoch = p_epoch and not removed for update;
  if not found then return false; end if;
  perform from ${s}.node_shard
    where node = p_node and physical = p_physical and shard = p_shard and state = 'building' and suspect is null
      and copy <= n.marker_copy for update;
  if not found then return false; end if;
  update ${s}.node_shard set state = 'retired', since = clock_timestamp(), view = ${s}.next_view()
    where node = p_node and shard = p_shard and state = 'current';
  if not found then return false; end if;
  update ${s}.node_shard set state = 'current', since = clock_timestamp(), from_lsn = p_from, view = ${s}.next_view()
    where node = p_node and physical = p_physical;
  return true;
end $$;
`;
