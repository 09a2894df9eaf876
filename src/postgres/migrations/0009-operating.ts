// What operators look up: slow requests, and alerts, which one gateway opens and closes for all.

export const operating = (s: string): string => `
create index on ${s}.event (at);

create table ${s}.slow_request (
  id bigint generated always as identity primary key,
  at timestamptz not null,
  gateway text not null, route text not null, collection text,
  status int,                                 -- null when the response was aborted
  ms int not null,
  shape jsonb not null                        -- counts and sizes, never content
);
create index on ${s}.slow_request (at);

-- A row is open while closed_at is null. The gateway whose statement opens or closes it sends the message.
create table ${s}.alert (
  key text primary key,
  kind text not null,
  gateway text,                               -- null: about the cluster, evaluated by the leader
  since timestamptz not null,
  detail text not null,
  opened_at timestamptz not null default clock_timestamp(),
  seen_at timestamptz not null default clock_timestamp(),
  closed_at timestamptz
);
`;
