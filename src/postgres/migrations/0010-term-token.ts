// R15: the epoch contains a random token for each term.

export const termToken = (s: string): string => `
-- The low 24 bits of an epoch are random, the token of the term; the rest counts the terms. A PostgreSQL that has
-- forgotten an acquisition issues the same count again, and with it another epoch. What compares the epoch compares the
-- token.
create or replace function ${s}.acquire_lease(p_holder text, p_epoch bigint, p_renewal bigint) returns bigint
language plpgsql as $$
declare
  l ${s}.lease%rowtype;
  term bigint;
begin
  select * into l from ${s}.lease for update;
  if l.holder is not null and (l.epoch <> p_epoch or l.renewal <> p_renewal) then return null; end if;
  term := case when l.epoch < 16777216 then l.epoch else l.epoch / 16777216 end + 1;
  l.epoch := term * 16777216 + ('x' || substr(md5(gen_random_uuid()::text), 1, 6))::bit(24)::int;
  update ${s}.lease set epoch = l.epoch, holder = p_holder, renewal = 0;
  update ${s}.node set epoch = l.epoch;
  return l.epoch;
end $$;
`;
