// What is measured of each node.

import { canServe, NODE_STATES } from '../nodes/node-state.ts';
import type { LabelledMetric } from '../observability/metrics-registry.ts';
import type { Deps } from './deps.ts';
import type { BuiltNode } from './nodes.ts';
import type { Replication } from './replication.ts';
import type { Storage } from './storage.ts';

type NodeValue = (node: BuiltNode) => number;

interface NodeMetricsParts {
  readonly deps: Deps;
  readonly storage: Storage;
  readonly replication: Replication;
}

/** One series for each node of this moment. */
export function nodeMetrics(parts: NodeMetricsParts): LabelledMetric[] {
  return [...nodeGauges(parts), ...nodeCounts(parts)];
}

function nodeGauges({ deps, storage, replication }: NodeMetricsParts): LabelledMetric[] {
  const { nodes, leader } = replication;
  const each = (name: string, unit: string, help: string, value: NodeValue): LabelledMetric => ({
    kind: 'gauges',
    name,
    unit,
    help,
    read: () => nodes.all().map((node) => ({ labels: { node: node.member.id }, value: value(node) })),
  });
  return [
    {
      kind: 'gauges',
      name: 'state',
      unit: 'boolean',
      help: '1 for the state that the node is in, 0 for every other.',
      read: () =>
        nodes
          .all()
          .flatMap(({ member: { id, state } }) =>
            NODE_STATES.map((one) => ({ labels: { node: id, state: one }, value: one === state ? 1 : 0 })),
          ),
    },
    each('up', 'boolean', '1 while the node can serve reads.', ({ member }) =>
      canServe(member.state) ? 1 : 0,
    ),
    each('primary', 'boolean', '1 for the primary.', ({ member }) =>
      member.id === leader.primary.node ? 1 : 0,
    ),
    each(
      'checkpoint',
      'LSN',
      'LSN up to which the node has applied everything.',
      ({ applier }) => applier.checkpoint,
    ),
    each(
      'lag_entries',
      'entries',
      'Entries behind the head.',
      ({ applier }) => applier.lag(deps.clock.now()).entries,
    ),
    each(
      'lag',
      'seconds',
      'Age of the oldest entry that the node has not applied.',
      ({ applier }) => (applier.lag(deps.clock.now()).ms ?? 0) / 1_000,
    ),
    each(
      'suspect_collections',
      'collections',
      'Collections whose copy on the node is not used, at most 1,000.',
      ({ member }) => storage.catalog.suspects(member.id, 1_000).length,
    ),
    each(
      'call_remaining',
      'seconds',
      'Estimated rest of the call that the node works on.',
      ({ workload }) => Math.max(0, workload.current?.remainingMs ?? 0) / 1_000,
    ),
    each(
      'canary_age',
      'seconds',
      'Time since the last write and read that proved the node.',
      ({ member }) => (member.canaryMsAgo ?? 0) / 1_000,
    ),
  ];
}

function nodeCounts({ replication: { nodes } }: NodeMetricsParts): LabelledMetric[] {
  return [
    {
      kind: 'counters',
      name: 'probes',
      unit: 'probes',
      help: 'Probes of the node, by result.',
      read: () =>
        nodes.all().flatMap(({ member: { id, probes } }) => [
          { labels: { node: id, result: 'response' }, value: probes.total - probes.failed },
          { labels: { node: id, result: 'failure' }, value: probes.failed },
        ]),
    },
    {
      kind: 'histograms',
      name: 'call_duration',
      unit: 'seconds',
      help: 'Time of calls to the node, waiting for a connection included.',
      read: () => nodes.all().flatMap(({ member, calls }) => [...calls.series(member.id)]),
    },
  ];
}
