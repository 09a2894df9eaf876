// A gateway that registers beside others serves once each of them has learnt of it, which they record.

export const gatewayNumbers = (s: string): string => `
create sequence ${s}.gateway_number;
-- number: ascends with each registration; null for a release that knows of none. knows: the highest number of another
-- gateway that this one takes into account. A gateway of an earlier release never says so: it is waited for.
alter table ${s}.gateway add column number bigint, add column knows bigint not null default 0;

-- As register_gateway, and gives the gateway the next number.
create function ${s}.number_gateway(p_id text, p_address text, p_version text, p_expiry_ms float8)
returns table (others int, number bigint) language plpgsql as $$
begin
  others := ${s}.register_gateway(p_id, p_address, p_version, p_expiry_ms);
  update ${s}.gateway g set number = nextval('${s}.gateway_number'), knows = 0 where g.id = p_id
    returning g.number into number;
  return next;
end $$;
`;
