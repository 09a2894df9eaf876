// The durable steps of a leader. Each is conditional on its epoch in the same statement (I7): it returns false, and
// changes nothing, when the lease has moved on.

export const leading = (s: string): string => `
-- Takes the lease if (epoch, renewal) is still what the challenger watched for a whole lease, or nobody holds it.
-- Every row a leader moves gets the new epoch, so that the old leader's statements match nothing from now on.
create function ${s}.acquire_lease(p_holder text, p_epoch bigint, p_renewal bigint) returns bigint
language plpgsql as $$
declare
  l ${s}.lease%rowtype;
begin
  select * into l from ${s}.lease for update;
  if l.holder is not null and (l.epoch <> p_epoch or l.renewal <> p_renewal) then return null; end if;
  update ${s}.lease set epoch = l.epoch + 1, holder = p_holder, renewal = 0;
  update ${s}.node set epoch = l.epoch + 1;
  return l.epoch + 1;
end $$;

-- Moves the checkpoint of several nodes; what a node created or dropped (physical is null)
-- on the way is recorded with it. Never lowers (I4): after a lost response it may already be higher.
create function ${s}.checkpoint(
  p_epoch bigint, p_nodes text[], p_lsns bigint[],
  p_shard_nodes text[], p_shards uuid[], p_physical uuid[], p_from bigint[]
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
      where n.node = x.node and n.shard = x.shard and x.physical is null;
    insert into ${s}.node_shard (node, shard, physical, from_lsn, view)
      select x.node, x.shard, x.physical, x.lsn, ${s}.next_view()
      from unnest(p_shard_nodes, p_shards, p_physical, p_from) as x(node, shard, physical, lsn)
      where x.physical is not null
      on conflict (node, shard) do update set physical = excluded.physical, view = excluded.view;
  end if;
  return true;
end $$;

-- Records what the primary decided and changes the catalog accordingly, once: a second decision for the same entry
-- is answered with the first. Returns null when the lease or the primary has moved on.
create function ${s}.decide(
  p_epoch bigint, p_node text, p_generation bigint, p_lsn bigint, p_outcome text, p_status int, p_body bytea
) returns ${s}.decision language plpgsql as $$
declare
  h ${s}.head%rowtype;
  e ${s}.log%rowtype;
  d ${s}.decision%rowtype;
  j jsonb;
  c ${s}.collection%rowtype;
begin
  perform from ${s}.lease where epoch = p_epoch for share;
  if not found then return null; end if;
  select * into h from ${s}.head for update;
  if p_outcome <> 'quarantined' and (h.primary_node is distinct from p_node or h.primary_generation <> p_generation) then
    return null;
  end if;
  select * into d from ${s}.decision where lsn = p_lsn;
  if found then return d; end if;
  select lsn, kind, target, header into e.lsn, e.kind, e.target, e.header from ${s}.log where lsn = p_lsn;
  insert into ${s}.decision (lsn, outcome, status, body) values (p_lsn, p_outcome, p_status, p_body) returning * into d;
  j := e.header::jsonb;
  case e.kind
  when 'create_collection' then
    if p_outcome = 'accepted' then
      update ${s}.collection set state = 'ready', pending_lsn = null, view = ${s}.next_view() where id = e.target;
      update ${s}.shard set live = true where collection = e.target;
      update ${s}.collection_name set pending_lsn = null where collection = e.target;
    else
      update ${s}.collection set state = 'deleted', pending_lsn = null, view = ${s}.next_view() where id = e.target;
      delete from ${s}.collection_name where collection = e.target;
    end if;
  when 'modify_collection' then
    select * into c from ${s}.collection where id = e.target;
    if p_outcome = 'accepted' and j->>'new_name' is not null and j->>'new_name' <> c.name then
      delete from ${s}.collection_name where collection = e.target and name = c.name;
      c.name := j->>'new_name';
    elsif p_outcome <> 'accepted' then
      delete from ${s}.collection_name where collection = e.target and name <> c.name;
    end if;
    update ${s}.collection_name set pending_lsn = null where collection = e.target;
    update ${s}.collection set name = c.name, pending_lsn = null, view = ${s}.next_view() where id = e.target;
  when 'create_tenant' then
    if p_outcome <> 'accepted' then
      update ${s}.tenant set deleted = true, view = ${s}.next_view() where name = j->>'tenant';
    end if;
  when 'create_database' then
    if p_outcome <> 'accepted' then
      update ${s}.database set deleted = true, view = ${s}.next_view()
        where tenant = j->>'tenant' and name = j->>'database';
    end if;
  else
    null;
  end case;
  return d;
end $$;

-- Makes a node the primary of the next generation. Returns it, or null when the lease has moved on.
create function ${s}.set_primary(p_epoch bigint, p_node text) returns bigint language plpgsql as $$
declare
  generation bigint;
begin
  perform from ${s}.lease where epoch = p_epoch for share;
  if not found then return null; end if;
  update ${s}.head set primary_node = p_node, primary_generation = primary_generation + 1, view = view + 1
    returning primary_generation into generation;
  return generation;
end $$;
`;
