// Deletes a tenant, as a reset does, in the catalog only: servers have no call for it.

export const deleteTenant = (s: string): string => `
alter function ${s}.append_schema(text, uuid, jsonb, bigint) rename to append_schema_of_nodes;

-- Validates one schema entry; append_schema_of_nodes validates the entries that nodes apply too.
create function ${s}.append_schema(p_kind text, p_target uuid, h jsonb, p_lsn bigint) returns jsonb
language plpgsql as $$
begin
  if p_kind <> 'delete_tenant' then return ${s}.append_schema_of_nodes(p_kind, p_target, h, p_lsn); end if;
  if exists (select from ${s}.database where tenant = h->>'tenant' and not deleted) then
    return '{"s":"not_empty"}';
  end if;
  update ${s}.tenant set deleted = true, view = ${s}.next_view() where name = h->>'tenant' and not deleted;
  return '{"s":"ok"}';
end $$;
`;
