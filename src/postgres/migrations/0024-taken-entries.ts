// Each shard records what nodes had applied of it that have lost their content, or left, since. Such an entry is neither
// refused nor quarantined while another node may still apply it (R1).

export const takenEntries = (s: string): string => `
-- LSN up to which such a node may have applied the shard, on a healthy copy.
alter table ${s}.shard add column taken_lsn bigint not null default 0;

-- Called before the copies of a node are forgotten. What it had applied beyond its checkpoint is at most one round of 1,024
-- entries (ROUND_ENTRIES_MAX, src/replication/applier.ts). Locks head first, as appends do.
create function ${s}.keep_taken(p_id text) returns void language plpgsql as $$
declare
  reached bigint;
begin
  select least(h.lsn, n.checkpoint + 1024) into reached
    from ${s}.head h, ${s}.node n where n.id = p_id and n.checkpoint > 0 for update of h;
  update ${s}.shard x set taken_lsn = reached
    from ${s}.node_shard c
    where c.node = p_id and c.shard = x.id and c.state = 'current' and c.suspect is null and x.taken_lsn < reached;
end $$;

create or replace function ${s}.reset_node(p_epoch bigint, p_id text) returns boolean language plpgsql as $$
begin
  perform from ${s}.lease where epoch = p_epoch for share;
  if not found then return false; end if;
  perform from ${s}.node where id = p_id for update;
  perform ${s}.keep_taken(p_id);
  delete from ${s}.node_shard where node = p_id;
  delete from ${s}.entry_attempt where node = p_id;
  update ${s}.node set
    incarnation = null, checkpoint = 0, marker_lsn = 0, busy_lsn = null, busy_until = null, copies = 0, marker_copy = 0,
    filling = true, state = 'joining', reason = null, resets = resets + 1, view = ${s}.next_view()
    where id = p_id and not removed;
  return found;
end $$;

create or replace function ${s}.remove_node(p_epoch bigint, p_id text) returns boolean language plpgsql as $$
begin
  perform from ${s}.lease where epoch = p_epoch for share;
  if not found then return false; end if;
  perform from ${s}.node where id = p_id for update;
  if exists (select from ${s}.head where primary_node = p_id) then return false; end if;
  perform ${s}.keep_taken(p_id);
  update ${s}.node set removed = true, state = 'removed', reason = null, view = ${s}.next_view() where id = p_id;
  delete from ${s}.node_shard where node = p_id;
  delete from ${s}.entry_attempt where node = p_id;
  return true;
end $$;
`;
