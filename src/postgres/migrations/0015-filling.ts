// A node without content gets a new incarnation, and its content anew: from the log, or by copies of its shards.

export const filling = (s: string): string => `
-- The node begins again: until its marker names its incarnation, what its server still holds of an earlier one goes.
alter table ${s}.node add column filling boolean not null default false;

create or replace function ${s}.reset_node(p_epoch bigint, p_id text) returns boolean language plpgsql as $$
begin
  perform from ${s}.lease where epoch = p_epoch for share;
  if not found then return false; end if;
  perform from ${s}.node where id = p_id for update;
  delete from ${s}.node_shard where node = p_id;
  delete from ${s}.entry_attempt where node = p_id;
  update ${s}.node set
    incarnation = null, checkpoint = 0, marker_lsn = 0, busy_lsn = null, busy_until = null, copies = 0, marker_copy = 0,
    filling = true, state = 'joining', reason = null, resets = resets + 1, view = ${s}.next_view()
    where id = p_id and not removed;
  return found;
end $$;

-- Gives a node its incarnation at a checkpoint: 0 to apply the whole log, or that of a healthy node. Every shard that
-- exists there is then suspect on the node, under an id that no collection has, until it is copied. The checkpoint of an
-- incarnation is never lowered. False when the lease has moved on, or the node has an incarnation already.
create function ${s}.introduce_node(p_epoch bigint, p_id text, p_url text, p_incarnation uuid, p_checkpoint bigint)
returns boolean language plpgsql as $$
begin
  perform from ${s}.lease where epoch = p_epoch for share;
  if not found then return false; end if;
  insert into ${s}.node (id, url, incarnation, state, epoch, view, filling, checkpoint)
    values (p_id, p_url, p_incarnation, 'joining', p_epoch, ${s}.next_view(), true, p_checkpoint)
    on conflict (id) do update set
      incarnation = excluded.incarnation, view = excluded.view, filling = true, checkpoint = excluded.checkpoint,
      marker_lsn = 0, copies = 0, marker_copy = 0
      where (node.incarnation is null or node.filling) and not node.removed and node.epoch = p_epoch;
  if not found then return false; end if;
  delete from ${s}.node_shard where node = p_id;
  if p_checkpoint > 0 then
    insert into ${s}.node_shard (node, shard, physical, name, from_lsn, view, suspect)
      select p_id, x.id, gen_random_uuid(), c.name, 0, ${s}.next_view(), 'not copied to the node yet'
      from ${s}.shard x join ${s}.collection c on c.id = x.collection
      where c.state = 'ready' and c.created_lsn <= p_checkpoint;
  end if;
  return true;
end $$;
`;
