// Appends only to a log that has lost nothing: a standby that was promoted without its last entries is noticed before any
// LSN is used again.

export const logContinuity = (s: string): string => `
-- The timeline of the PostgreSQL server whose log was last compared with what nodes and gateways have seen of it; null
-- before the first comparison. PostgreSQL begins a new timeline with each promotion.
alter table ${s}.head add column timeline int;
-- Why the log is known to have lost its last entries, and the highest LSN that was seen. Nothing is appended while it is set.
alter table ${s}.head add column rewound text;
alter table ${s}.head add column rewound_lsn bigint;

-- The timeline of this server; 0 where the server does not report it, as in some cloud services.
create function ${s}.timeline() returns int language plpgsql as $$
begin
  return ('x' || substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8))::bit(32)::int;
exception when others then
  return 0;
end $$;

-- Whether the log has the entry that a node or gateway saw: entries up to p_lsn, of which the last is of batch p_batch.
create function ${s}.log_contains(p_lsn bigint, p_batch uuid) returns boolean language sql stable as $$
  select h.lsn >= p_lsn and (p_lsn <= h.trimmed or p_batch is null
           or exists (select from ${s}.log where lsn = p_lsn and batch = p_batch))
  from ${s}.head h;
$$;

-- As append, for a gateway that knows entries up to p_known, and one of them at p_seen. The lock of the head row is held
-- from here on.
create function ${s}.append_continuing(
  p_known bigint, p_seen bigint, p_seen_batch uuid,
  p_token uuid, p_log uuid, p_kinds text[], p_targets uuid[], p_headers text[], p_dimensions int[],
  p_checksums bigint[], p_lengths int[], p_bodies bytea
) returns jsonb language plpgsql as $$
declare
  h ${s}.head%rowtype;
begin
  select * into h from ${s}.head for update;
  if h.rewound is not null then
    raise exception 'the log has lost its last entries: %', h.rewound using errcode = 'PC004';
  end if;
  if h.timeline <> ${s}.timeline() then
    raise exception 'this server was promoted, and its log has not been compared yet' using errcode = 'PC005';
  end if;
  if h.lsn < p_known then
    raise exception 'the log ends at LSN %, and this gateway has seen LSN %', h.lsn, p_known using errcode = 'PC006';
  end if;
  -- The row of a batch is found without looking into the partitions of the log; it is kept for an hour.
  if p_seen_batch is not null and not exists (select from ${s}.append_batch where token = p_seen_batch)
     and not ${s}.log_contains(p_seen, p_seen_batch) then
    raise exception 'the log lacks the entry at LSN % that this gateway has seen', p_seen using errcode = 'PC006';
  end if;
  return ${s}.append(p_token, p_log, p_kinds, p_targets, p_headers, p_dimensions, p_checksums, p_lengths, p_bodies);
end $$;
`;
