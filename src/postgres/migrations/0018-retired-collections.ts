// Copies of deleted collections stay with their nodes until the leader has emptied and dropped them in the background.

export const retiredCollections = (s: string): string => `
-- As before; a copy without an id (physical is null) but with a name was not dropped yet: it is retired under that name.
create or replace function ${s}.checkpoint(
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
    update ${s}.node_shard n
      set state = 'retired', name = x.name, suspect = null, since = clock_timestamp(), view = ${s}.next_view()
      from unnest(p_shard_nodes, p_shards, p_physical, p_names) as x(node, shard, physical, name)
      where n.node = x.node and n.shard = x.shard and n.state = 'current' and x.physical is null and x.name is not null;
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
`;
