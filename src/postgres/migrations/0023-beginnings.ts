// Progress of a node that has begun again since is not recorded: its content went with the beginning.

export const beginnings = (s: string): string => `
-- As the function without p_resets, which gateways of earlier releases call. p_resets: how often each node had begun again
-- without content when it applied the entries. Returns the nodes that have begun again since: nothing of theirs was changed.
create function ${s}.checkpoint(
  p_epoch bigint, p_nodes text[], p_resets int[], p_lsns bigint[],
  p_shard_nodes text[], p_shards uuid[], p_physical uuid[], p_names text[], p_from bigint[]
) returns text[] language plpgsql as $$
declare
  begun_again text[];
begin
  begun_again := array(
    select n.id from (select * from ${s}.node where id = any(p_nodes) order by id for update) n
    join unnest(p_nodes, p_resets) as x(id, resets) on x.id = n.id
    where n.epoch = p_epoch and n.resets <> x.resets order by n.id);
  perform ${s}.checkpoint(
    p_epoch,
    array(select x.id from unnest(p_nodes) as x(id) where x.id <> all(begun_again)),
    array(select x.lsn from unnest(p_nodes, p_lsns) as x(id, lsn) where x.id <> all(begun_again)),
    array(select x.node from unnest(p_shard_nodes) as x(node) where x.node <> all(begun_again)),
    array(select x.shard from unnest(p_shard_nodes, p_shards) as x(node, shard) where x.node <> all(begun_again)),
    array(select x.id from unnest(p_shard_nodes, p_physical) as x(node, id) where x.node <> all(begun_again)),
    array(select x.name from unnest(p_shard_nodes, p_names) as x(node, name) where x.node <> all(begun_again)),
    array(select x.lsn from unnest(p_shard_nodes, p_from) as x(node, lsn) where x.node <> all(begun_again)));
  return begun_again;
end $$;
`;
