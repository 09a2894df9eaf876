// No decision without its entry: a promoted server that lacks the entry must not decide about the next one of that LSN.

export const decisionsOfEntries = (s: string): string => `
create function ${s}.require_entry() returns trigger language plpgsql as $$
begin
  perform from ${s}.log where lsn = new.lsn;
  if not found then
    raise exception 'the log lacks the entry at LSN % that was to be decided', new.lsn using errcode = 'PC006';
  end if;
  return new;
end $$;

create trigger require_entry before insert on ${s}.decision for each row execute function ${s}.require_entry();
`;
