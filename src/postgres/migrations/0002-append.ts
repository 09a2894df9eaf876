// The append: one call validates, numbers and stores a whole batch under the lock of the head row, so that no round trip
// happens while other calls wait. All decisions of the log are made here, once (I1, I5).

export const append = (s: string): string => `
-- Validates one schema entry and writes its rows. Returns {"s":"ok"} or the reason of the refusal; never raises.
--   busy {lsn}: an undecided entry must be decided first; call again afterwards.
create function ${s}.append_schema(p_kind text, p_target uuid, h jsonb, p_lsn bigint) returns jsonb
language plpgsql as $$
declare
  held ${s}.collection_name%rowtype;
  c ${s}.collection%rowtype;
  v bigint;
begin
  case p_kind
  when 'create_collection' then
    if not exists (select from ${s}.database where tenant = h->>'tenant' and name = h->>'database' and not deleted) then
      return '{"s":"no_database"}';
    end if;
    select * into held from ${s}.collection_name
      where tenant = h->>'tenant' and database = h->>'database' and name = h->>'name';
    if found then
      if held.pending_lsn is not null then return jsonb_build_object('s', 'busy', 'lsn', held.pending_lsn); end if;
      return jsonb_build_object('s', 'exists', 'id', held.collection);
    end if;
    insert into ${s}.collection values
      (p_target, h->>'tenant', h->>'database', h->>'name', 'creating', p_lsn, p_lsn, ${s}.next_view());
    insert into ${s}.collection_name values (h->>'tenant', h->>'database', h->>'name', p_target, p_lsn);
    insert into ${s}.shard values ((h->>'shard')::uuid, p_target, null, p_lsn, false);
  when 'modify_collection' then
    select * into c from ${s}.collection where id = p_target and state = 'ready';
    if not found then return '{"s":"no_collection"}'; end if;
    if c.pending_lsn is not null then return jsonb_build_object('s', 'busy', 'lsn', c.pending_lsn); end if;
    if h->>'new_name' is not null and h->>'new_name' <> c.name then
      select * into held from ${s}.collection_name
        where tenant = c.tenant and database = c.database and name = h->>'new_name';
      if found then
        if held.pending_lsn is not null then return jsonb_build_object('s', 'busy', 'lsn', held.pending_lsn); end if;
        return jsonb_build_object('s', 'exists', 'id', held.collection);
      end if;
      insert into ${s}.collection_name values (c.tenant, c.database, h->>'new_name', c.id, p_lsn);
    end if;
    update ${s}.collection set pending_lsn = p_lsn, view = ${s}.next_view() where id = p_target;
  when 'delete_collection' then
    select * into held from ${s}.collection_name
      where tenant = h->>'tenant' and database = h->>'database' and name = h->>'name';
    if not found or held.collection <> p_target then return '{"s":"no_collection"}'; end if;
    select * into c from ${s}.collection where id = p_target;
    if c.pending_lsn is not null then return jsonb_build_object('s', 'busy', 'lsn', c.pending_lsn); end if;
    delete from ${s}.collection_name where collection = p_target;
    update ${s}.collection set state = 'deleted', view = ${s}.next_view() where id = p_target;
    update ${s}.shard set live = false, last_lsn = p_lsn where collection = p_target;
  when 'create_tenant' then
    if exists (select from ${s}.tenant where name = h->>'tenant' and not deleted) then return '{"s":"exists"}'; end if;
    v := ${s}.next_view();
    insert into ${s}.tenant values (h->>'tenant', false, v)
      on conflict (name) do update set deleted = false, view = v;
  when 'create_database' then
    if exists (select from ${s}.database where tenant = h->>'tenant' and name = h->>'database' and not deleted) then
      return '{"s":"exists"}';
    end if;
    v := ${s}.next_view();
    insert into ${s}.database values (h->>'tenant', h->>'database', p_target, p_lsn, false, v)
      on conflict (tenant, name) do update set id = p_target, created_lsn = p_lsn, deleted = false, view = v;
  when 'delete_database' then
    if not exists (select from ${s}.database where tenant = h->>'tenant' and name = h->>'database' and not deleted) then
      return '{"s":"no_database"}';
    end if;
    if exists (select from ${s}.collection
               where tenant = h->>'tenant' and database = h->>'database' and state <> 'deleted') then
      return '{"s":"not_empty"}';
    end if;
    update ${s}.database set deleted = true, view = ${s}.next_view()
      where tenant = h->>'tenant' and name = h->>'database';
  end case;
  return '{"s":"ok"}';
end $$;

-- Appends a batch. The arrays run parallel, one element an entry; bodies are one blob, cut by length, because a
-- bytea[] parameter would travel as hex text. Returns a JSON array, one object an entry: {"s":"ok","lsn":N} or why not:
--   no_collection | dimension {expected} | exists {id} | no_database | not_empty | busy {lsn}
-- Called again with a token it has seen, it returns what it returned then and changes nothing.
create function ${s}.append(
  p_token uuid, p_log uuid, p_kinds text[], p_targets uuid[], p_headers text[], p_dimensions int[],
  p_checksums bigint[], p_lengths int[], p_bodies bytea
) returns jsonb language plpgsql as $$
declare
  h ${s}.head%rowtype;
  seen jsonb;
  reply jsonb;
  results jsonb[] := '{}';
  taken int[] := '{}';
  lsns bigint[] := '{}';
  offsets int[] := '{}';
  at int := 1;
  next bigint;
  shard_live boolean;
  shard_dimension int;
begin
  select * into h from ${s}.head for update;
  if h.log_id <> p_log then
    raise exception 'this log is not the one the gateway started with' using errcode = 'PC001';
  end if;
  select b.results into seen from ${s}.append_batch b where token = p_token;
  if found then return seen; end if;
  next := h.lsn + 1;
  for i in 1 .. cardinality(p_kinds) loop
    if p_kinds[i] in ('add', 'upsert', 'update', 'delete', 'delete_where') then
      select live, dimension into shard_live, shard_dimension from ${s}.shard where id = p_targets[i];
      if not found or not shard_live then
        reply := '{"s":"no_collection"}';
      elsif p_dimensions[i] is not null and shard_dimension is not null and shard_dimension <> p_dimensions[i] then
        reply := jsonb_build_object('s', 'dimension', 'expected', shard_dimension);
      else
        if p_dimensions[i] is not null and shard_dimension is null then
          update ${s}.shard set dimension = p_dimensions[i] where id = p_targets[i];
        end if;
        reply := '{"s":"ok"}';
      end if;
    else
      reply := ${s}.append_schema(p_kinds[i], p_targets[i], p_headers[i]::jsonb, next);
    end if;
    if reply->>'s' = 'ok' then
      reply := jsonb_build_object('s', 'ok', 'lsn', next);
      taken := taken || i;
      lsns := lsns || next;
      offsets := offsets || at;
      next := next + 1;
    end if;
    results := results || reply;
    at := at + p_lengths[i];
  end loop;

  while next > h.partition_end loop
    perform ${s}.extend_log(h.partition_end, h.partition_end + h.partition_entries);
    h.partition_end := h.partition_end + h.partition_entries;
  end loop;
  insert into ${s}.log (lsn, kind, target, header, body, checksum, batch)
    select t.lsn, p_kinds[t.i], p_targets[t.i], p_headers[t.i],
           substring(p_bodies from t.at for p_lengths[t.i]), p_checksums[t.i], p_token
    from unnest(taken, lsns, offsets) as t(i, lsn, at);
  update ${s}.shard set last_lsn = x.lsn
    from (select p_targets[t.i] as id, max(t.lsn) as lsn from unnest(taken, lsns) as t(i, lsn) group by 1) x
    where shard.id = x.id;
  update ${s}.head set lsn = next - 1, partition_end = h.partition_end;
  insert into ${s}.append_batch (token, results) values (p_token, to_jsonb(results));
  return to_jsonb(results);
end $$;
`;
