// The statements about gateways, and the snapshot that each of them follows (src/postgres/migrations/0019).

import type { Session, Statement } from './statements.ts';

function seenLately({ tables, nowMs }: Session, expiryMs: unknown): [string, number][] {
  const rows = [...tables.gateways].map(([id, row]): [string, number] => [id, row.seen_at]);
  return rows.filter(([, at]) => at > nowMs - (expiryMs as number));
}

export const gatewayStatements: readonly Statement[] = [
  {
    pattern: /^select h\.lsn as head, h\.view, h\.exceptions/,
    run(session) {
      const { head, lease, nodes } = session.tables;
      const recorded = [...nodes.values()]
        .filter(({ removed }) => !removed)
        .map((row) => ({
          id: row.id,
          resets: row.resets,
          drained: row.drained,
          counts: row.counts,
          checkpoint: row.checkpoint,
          markerLSN: row.marker_lsn,
          state: row.state,
          reason: row.reason,
          stateEpoch: row.state_epoch,
          isBusy: (row.busy_lsn ?? 0) > row.checkpoint && (row.busy_until ?? 0) > session.nowMs,
        }));
      return [
        {
          head: head.lsn,
          view: head.view,
          timeline: session.timeline,
          exceptions: head.exceptions,
          decided: Math.max(0, ...session.tables.decisions.keys()),
          rewound: head.rewound,
          primary: head.primary_node,
          primaryGeneration: head.primary_generation,
          ...lease,
          otherGateways: seenLately(session, session.values[0]).filter(([id]) => id !== session.values[1])
            .length,
          newestGateway: Math.max(
            0,
            ...[...session.tables.gateways]
              .filter(([id]) => id !== session.values[1])
              .map(([, { number }]) => number),
          ),
          nodes: recorded,
        },
      ];
    },
  },
  {
    pattern: /^select others, number from number_gateway\(/,
    run(session) {
      const { tables, values, nowMs } = session;
      const [id, address, version, expiryMs] = values as [string, string, string, number];
      const number = ++tables.gatewayNumber;
      const own = { started_at: nowMs, seen_at: nowMs, number, knows: 0 };
      const known = tables.gateways.get(id);
      tables.gateways.set(id, { address, version, nodes_reached: 0, ...known, ...own });
      const others = seenLately(session, expiryMs).filter(([other]) => other !== id).length;
      return [{ others, number }];
    },
  },
  {
    pattern: /^update gateway set seen_at/,
    run(session) {
      const { tables, values, nowMs } = session;
      const [id, reached, expiryMs, knows] = values as [string, number, number, number];
      const row = tables.gateways.get(id);
      if (row === undefined || row.seen_at <= nowMs - expiryMs) return [];
      tables.gateways.set(id, { ...row, seen_at: nowMs, nodes_reached: reached, knows });
      return [{ id }];
    },
  },
  {
    pattern: /^delete from gateway where id/,
    run({ tables, values: [id] }) {
      tables.gateways.delete(id as string);
      return [];
    },
  },
  {
    pattern: /^select id, address, version, started_at/,
    run(session) {
      const { tables, values, nowMs } = session;
      return seenLately(session, values[0]).map(([id, at]) => {
        const row = tables.gateways.get(id)!;
        const { address, version, number, knows } = row;
        return {
          ...{ id, address, version, number, knows },
          startedAt: new Date(row.started_at),
          nodesReached: row.nodes_reached,
          seenMsAgo: nowMs - at,
        };
      });
    },
  },
];
