// The way out of a log that has lost its last entries: their LSNs are used up by entries without effect, and one node's
// content becomes that of all.

export const recovery = (s: string): string => `
-- Ends the loss: LSNs from the head up to p_last are taken by notes, so that none is used twice. The node p_kept goes on
-- from its checkpoint, every other node begins again. False, and nothing changes, when the lease has moved on.
--   p_dimensions: [{shard, dimension}], of shards whose first vectors were among the lost entries
create function ${s}.recover_log(
  p_epoch bigint, p_kept text, p_last bigint, p_token uuid, p_header text, p_checksum bigint, p_dimensions jsonb
) returns boolean language plpgsql as $$
declare
  h ${s}.head%rowtype;
begin
  perform from ${s}.lease where epoch = p_epoch for share;
  if not found then return false; end if;
  perform from ${s}.node for update;
  select * into h from ${s}.head for update;
  while p_last >= h.partition_end loop
    perform ${s}.extend_log(h.partition_end, h.partition_end + h.partition_entries);
    h.partition_end := h.partition_end + h.partition_entries;
  end loop;
  insert into ${s}.log (lsn, kind, target, header, body, checksum, batch)
    select n, 'note', null, p_header, '', p_checksum, p_token from generate_series(h.lsn + 1, p_last) as n;
  update ${s}.shard set dimension = (d->>'dimension')::int
    from jsonb_array_elements(p_dimensions) as d where id = (d->>'shard')::uuid and dimension is null;
  perform ${s}.reset_node(p_epoch, id) from ${s}.node where id <> p_kept and not removed;
  update ${s}.node set marker_lsn = checkpoint, view = ${s}.next_view() where id = p_kept;
  update ${s}.head set lsn = greatest(h.lsn, p_last), partition_end = h.partition_end, log_complete = false,
    rewound = null, rewound_lsn = null, timeline = ${s}.timeline(),
    primary_node = p_kept, primary_generation = primary_generation + 1;
  return true;
end $$;
`;
