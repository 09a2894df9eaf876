// What it takes for every entry to end (I16): failed attempts, quarantined entries kept outside the log, decisions of
// any size, and the long call that a node is working on.

export const everyEntryEnds = (s: string): string => `
alter table ${s}.decision drop constraint decision_outcome_check;
alter table ${s}.decision add constraint decision_outcome_check
  check (outcome in ('accepted', 'refused', 'quarantined', 'partly_applied'));
-- Ids that a conditional delete selected, when they do not fit into the decision: pages 0 .. pages - 1 of its generation.
alter table ${s}.decision add column pages int not null default 0;
alter table ${s}.decision add column generation bigint not null default 0;
create table ${s}.decision_page (
  lsn bigint not null, generation bigint not null, page int not null,
  ids bytea not null,                         -- JSON array
  primary key (lsn, generation, page)
);
alter table ${s}.decision_page alter column ids set storage external;

-- Attempts of a node to apply an entry that did not succeed. A row goes with the log's partition.
create table ${s}.entry_attempt (
  lsn bigint not null, node text not null,
  attempts int not null,
  alone int not null,                         -- of these, calls that brought nothing but this entry
  kind text not null check (kind in ('response', 'dropped', 'died', 'hung')),
  status int not null,                        -- 0 when there was no response
  detail text not null,
  last_at timestamptz not null default clock_timestamp(),
  primary key (lsn, node)
);

-- Entries that no healthy node can apply. They outlive the log's partitions, until an operator closes them.
create table ${s}.quarantine (
  lsn bigint primary key,
  kind text not null, target uuid, header text not null, body bytea not null,
  status int not null, response bytea not null,
  quarantined_at timestamptz not null default clock_timestamp(),
  closed text check (closed in ('retried', 'discarded')),
  closed_at timestamptz,
  retried_lsn bigint
);
alter table ${s}.quarantine alter column body set storage external;

-- The call that keeps the node busy: entries up to busy_lsn, announced before it is sent. It is over once the
-- checkpoint has reached busy_lsn.
alter table ${s}.node add column busy_lsn bigint;
alter table ${s}.node add column busy_until timestamptz;

drop function ${s}.decide(bigint, text, bigint, bigint, text, int, bytea);

-- Records a decision and changes the catalog accordingly, once: a second decision for the same entry returns the
-- first. p_node null: the leader decides, on evidence that no node can. Returns null when the lease or the primary has
-- moved on.
create function ${s}.decide(
  p_epoch bigint, p_node text, p_generation bigint, p_lsn bigint, p_outcome text, p_status int, p_body bytea,
  p_pages int
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
  if p_node is not null and (h.primary_node is distinct from p_node or h.primary_generation <> p_generation) then
    return null;
  end if;
  select lsn, kind, target, header into e.lsn, e.kind, e.target, e.header from ${s}.log where lsn = p_lsn;
  select * into d from ${s}.decision where lsn = p_lsn;
  if found then
    -- Which records a delete selects is decided once; that no node can delete them is another matter.
    if e.kind = 'delete_where' and d.outcome = 'accepted' and p_outcome = 'quarantined' then
      delete from ${s}.decision where lsn = p_lsn;
    else
      return d;
    end if;
  end if;
  insert into ${s}.decision (lsn, outcome, status, body, pages, generation)
    values (p_lsn, p_outcome, p_status, p_body, p_pages, p_generation) returning * into d;
  if p_outcome = 'quarantined' then
    insert into ${s}.quarantine (lsn, kind, target, header, body, status, response)
      select l.lsn, l.kind, l.target, l.header, l.body, p_status, p_body from ${s}.log l where l.lsn = p_lsn;
  end if;
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

-- Stores one page of a decision in the making; an earlier one of the same number is replaced. False when the lease or
-- the primary has moved on.
create function ${s}.add_decision_page(
  p_epoch bigint, p_node text, p_generation bigint, p_lsn bigint, p_page int, p_ids bytea
) returns boolean language plpgsql as $$
begin
  perform from ${s}.lease where epoch = p_epoch for share;
  if not found then return false; end if;
  perform from ${s}.head where primary_node = p_node and primary_generation = p_generation;
  if not found then return false; end if;
  insert into ${s}.decision_page values (p_lsn, p_generation, p_page, p_ids)
    on conflict (lsn, generation, page) do update set ids = excluded.ids;
  return true;
end $$;
`;
