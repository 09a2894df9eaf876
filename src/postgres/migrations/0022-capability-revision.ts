// R19: an entry is appended only while the capability level under which its gateway validated it holds.

export const capabilityRevision = (s: string): string => `
-- How often the level was lowered, which happens only while the log is empty: a gateway may not know of it yet.
alter table ${s}.head add column capability_revision int not null default 0;

-- As the function without p_revision, which gateways of earlier releases call. p_revision: the lowest one under which an
-- entry of the batch was validated; null when no entry depends on the level.
create function ${s}.append_continuing(
  p_known bigint, p_seen bigint, p_seen_batch uuid,
  p_token uuid, p_log uuid, p_kinds text[], p_targets uuid[], p_headers text[], p_dimensions int[],
  p_checksums bigint[], p_lengths int[], p_revision int, p_bodies bytea
) returns jsonb language plpgsql as $$
declare
  revision int;
begin
  select capability_revision into revision from ${s}.head for update;
  if p_revision < revision then
    raise exception 'a server has joined that can do less than this gateway knew' using errcode = 'PC007';
  end if;
  return ${s}.append_continuing(p_known, p_seen, p_seen_batch, p_token, p_log, p_kinds, p_targets, p_headers,
    p_dimensions, p_checksums, p_lengths, p_bodies);
end $$;
`;
