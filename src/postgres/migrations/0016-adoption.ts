// Content that no entry of the log holds: a server with collections becomes the first node of a new cluster.

export const adoption = (s: string): string => `
-- The log holds all that ever changed the content, as far as it was not trimmed. False after an adoption or a loss.
alter table ${s}.head add column log_complete boolean not null default true;
-- An operator has said that what the server of this node holds is to be removed before it is filled.
alter table ${s}.node add column discard boolean not null default false;

-- Takes the collections of a server into the catalog of an empty cluster, under their ids, with one entry that says so.
-- Null when that was done; otherwise why not.
--   p_nodes: [{id, url, incarnation, shards: [{shard, physical, name}]}], each with all of the content
--   p_databases: [{tenant, name, id}]   p_collections: [{id, tenant, database, name, shard, dimension, body (base64)}]
--   p_discard: nodes whose content is to be removed before they are filled
create function ${s}.adopt(
  p_token uuid, p_header text, p_checksum bigint, p_nodes jsonb, p_tenants text[], p_databases jsonb,
  p_collections jsonb, p_discard text[]
) returns text language plpgsql as $$
declare
  leader text;
  h ${s}.head%rowtype;
  v bigint;
begin
  select holder into leader from ${s}.lease for update;
  if leader is not null then return 'a gateway runs on this database (' || leader || ')'; end if;
  lock table ${s}.node in share row exclusive mode;
  select * into h from ${s}.head for update;
  if h.lsn > 0 or exists (select from ${s}.node where incarnation is not null and not removed) then
    return 'the cluster is not empty';
  end if;
  while h.partition_end < 2 loop
    perform ${s}.extend_log(h.partition_end, h.partition_end + h.partition_entries);
    h.partition_end := h.partition_end + h.partition_entries;
  end loop;
  insert into ${s}.log (lsn, kind, target, header, body, checksum, batch)
    values (1, 'note', null, p_header, '', p_checksum, p_token);
  v := ${s}.next_view();
  insert into ${s}.tenant select t, false, v from unnest(p_tenants) as t
    on conflict (name) do update set deleted = false, view = v;
  insert into ${s}.database
    select d->>'tenant', d->>'name', (d->>'id')::uuid, 0, false, v from jsonb_array_elements(p_databases) as d
    on conflict (tenant, name) do update set id = excluded.id, deleted = false, view = v;
  insert into ${s}.collection
    select (c->>'id')::uuid, c->>'tenant', c->>'database', c->>'name', 'ready', null, 0, v
    from jsonb_array_elements(p_collections) as c;
  insert into ${s}.collection_name
    select c->>'tenant', c->>'database', c->>'name', (c->>'id')::uuid, null from jsonb_array_elements(p_collections) as c;
  insert into ${s}.shard
    select (c->>'shard')::uuid, (c->>'id')::uuid, (c->>'dimension')::int, 1, true
    from jsonb_array_elements(p_collections) as c;
  insert into ${s}.collection_body
    select (c->>'id')::uuid, 0, 'create_collection', decode(c->>'body', 'base64'), false
    from jsonb_array_elements(p_collections) as c;
  update ${s}.node set incarnation = (n->>'incarnation')::uuid, checkpoint = 1, view = v
    from jsonb_array_elements(p_nodes) as n where id = n->>'id';
  insert into ${s}.node_shard (node, shard, physical, name, from_lsn, view)
    select n->>'id', (x->>'shard')::uuid, (x->>'physical')::uuid, x->>'name', 1, v
    from jsonb_array_elements(p_nodes) as n, jsonb_array_elements(n->'shards') as x;
  update ${s}.node set discard = true where id = any(p_discard);
  update ${s}.head set lsn = 1, partition_end = h.partition_end, log_complete = false;
  return null;
end $$;
`;
