// The sentence on top of the dashboard: that all is well, or what is wrong, its effect and what to do. Pure.

import { ALERT_KINDS, type AlertKind, type Severity } from '../../alerts/alert-kinds.ts';
import { canServe, type NodeState } from '../../nodes/node-state.ts';
import type { Serving } from '../admin/status-source.ts';

/** A node as far as the sentence is about it. */
export interface SummaryNode {
  readonly id: string;
  readonly state: NodeState;
  readonly reason: string | null;
  /** Wall clock, ms since the epoch. */
  readonly sinceMs: number;
  readonly lagEntries: number;
}

/** A condition of an alert that holds now. */
export interface HeldCondition {
  readonly kind: AlertKind;
  readonly key: string;
  readonly detail: string;
  /** Wall clock, ms since the epoch. */
  readonly sinceMs: number;
}

export interface SummaryInput {
  readonly nodes: readonly SummaryNode[];
  readonly conditions: readonly HeldCondition[];
  readonly serving: Serving;
  /** Of all collections; null while they are being counted. */
  readonly records: number | null;
  /** Entries that no node applies and that wait for an operator. */
  readonly quarantined: number;
  /** "node-2, docs" of the copy that is being rebuilt; null when there is none. */
  readonly rebuilding: string | null;
}

export interface SummaryFinding {
  readonly key: string;
  readonly severity: Severity | 'notice';
  readonly title: string;
  readonly detail: string;
  /** Wall clock, ms since the epoch; null where it is not known. */
  readonly sinceMs: number | null;
  readonly effect: string;
  readonly action: string;
}

export interface Summary {
  readonly level: 'ok' | SummaryFinding['severity'];
  readonly text: string;
  /** The most severe first; empty when all is well. */
  readonly findings: readonly SummaryFinding[];
}

const RANKS = { critical: 0, warning: 1, notice: 2 } as const;
/** Events that are sent as alerts and do not last. */
const MOMENTS: ReadonlySet<AlertKind> = new Set(['failover', 'healed', 'test', 'quarantine']);
/** What explains that reads or writes are refused. */
const EXPLAINS_REFUSAL: ReadonlySet<AlertKind> = new Set(['no_node', 'log_halted', 'postgresql_unreachable']);

/** What to tell an operator about a cluster in this condition. */
export function summaryOf(input: SummaryInput): Summary {
  const findings = [...conditionFindings(input), ...refusalFindings(input), ...notices(input)];
  findings.sort((a, b) => RANKS[a.severity] - RANKS[b.severity]);
  const [first] = findings;
  if (first === undefined) return { level: 'ok', text: healthyText(input), findings };
  const more = findings.length === 1 ? '' : ` ${plural(findings.length - 1, 'more finding')} below.`;
  return { level: first.severity, text: `${headline(first, input)}${more}`, findings };
}

function conditionFindings({ conditions, quarantined }: SummaryInput): SummaryFinding[] {
  const held = conditions
    .filter(({ kind }) => !MOMENTS.has(kind))
    .map(({ kind, key, detail, sinceMs }) => ({ ...textsOf(kind), key, detail, sinceMs }));
  if (quarantined === 0) return held;
  const detail = `${plural(quarantined, 'entry', 'entries')} of the log ${quarantined === 1 ? 'waits' : 'wait'} for a decision`;
  return [...held, { ...textsOf('quarantine'), key: 'quarantine', detail, sinceMs: null }];
}

function textsOf(kind: AlertKind): Pick<SummaryFinding, 'severity' | 'title' | 'effect' | 'action'> {
  const { severity, title, effect, action } = ALERT_KINDS[kind];
  return { severity, title, effect, action };
}

/** Requests that are refused for a reason that no condition explains. */
function refusalFindings({ serving, conditions }: SummaryInput): SummaryFinding[] {
  const reason = serving.reads ?? serving.writes;
  if (reason === null || conditions.some(({ kind }) => EXPLAINS_REFUSAL.has(kind))) return [];
  const what = serving.reads === null ? 'writes' : serving.writes === null ? 'reads' : 'requests';
  return [
    {
      key: 'refused',
      severity: 'critical',
      title: `This gateway refuses ${what}`,
      detail: reason,
      sinceMs: null,
      effect: `Its ${what} fail with 503; clients may retry.`,
      action:
        'Wait some seconds: a change of the leader or primary ends by itself. Then "polychrome doctor".',
    },
  ];
}

/** What is not as usual, and needs no hurry. */
function notices({ nodes, rebuilding }: SummaryInput): SummaryFinding[] {
  const found: SummaryFinding[] = [];
  const add = (
    node: SummaryNode,
    title: string,
    texts: Pick<SummaryFinding, 'detail' | 'effect' | 'action'>,
  ): void =>
    void found.push({
      key: `${node.state}:${node.id}`,
      severity: 'notice',
      title,
      sinceMs: node.sinceMs,
      ...texts,
    });
  for (const node of nodes) {
    if (node.state === 'drained')
      add(node, 'Node drained', {
        detail: `${node.id} was taken out of service by an operator`,
        effect: 'Reads go to the other nodes; the node follows the log.',
        action: `Undrain ${node.id} when the maintenance is over.`,
      });
    if (node.state === 'catching_up' || node.state === 'joining')
      add(node, node.state === 'joining' ? 'Node joining' : 'Node catching up', {
        detail:
          node.lagEntries === 0
            ? `${node.id} is being verified`
            : `${node.id} is ${plural(node.lagEntries, 'entry', 'entries')} behind`,
        effect: 'Requests are served by the other nodes.',
        action: 'None: it serves once it has caught up and was verified.',
      });
  }
  if (rebuilding !== null)
    found.push({
      key: 'rebuilding',
      severity: 'notice',
      title: 'Copy being rebuilt',
      detail: rebuilding,
      sinceMs: null,
      effect: 'None: the other copies serve.',
      action: 'None: it serves once it was compared with a healthy copy.',
    });
  return found;
}

/** The first finding in one sentence; for a node, with what the others do meanwhile. */
function headline({ key, title, detail }: SummaryFinding, { nodes, records }: SummaryInput): string {
  const node = nodes.find(({ id }) => key.endsWith(`:${id}`));
  if (node === undefined || key.startsWith('lag:') || key.startsWith('divergence:'))
    return `${title}: ${detail}.`;
  const others = nodes.filter(({ id, state }) => id !== node.id && canServe(state)).map(({ id }) => id);
  if (others.length === 0) return `${title}: ${detail}.`;
  const rest = others.length === 1 ? `${others[0]} serves` : `the other ${others.length} nodes serve`;
  return `${node.id} is ${STATE_WORDS[node.state]}; ${rest} ${recordsText(records)}.`;
}

const STATE_WORDS: Readonly<Record<NodeState, string>> = {
  joining: 'joining',
  catching_up: 'catching up',
  serving: 'serving',
  busy: 'busy',
  drained: 'drained',
  down: 'down',
  fenced: 'out of use',
  needs_rebuild: 'out of use',
};

function healthyText({ nodes, records }: SummaryInput): string {
  if (nodes.length === 0) return 'There is no node yet: add one with "polychrome node add".';
  const all = nodes.length === 1 ? `${nodes[0]?.id} serves` : `All ${nodes.length} nodes serve`;
  if (records === 0) return `${all}; no records are stored yet.`;
  const behind = Math.max(...nodes.map(({ lagEntries }) => lagEntries));
  if (behind > 0)
    return `${all} ${recordsText(records)}; new writes are on their way to every node. Nothing to do.`;
  const same = nodes.length === 1 ? '' : 'the same ';
  return `${all} ${records === null ? `${same}records` : `${same}${plural(records, 'record')}`}; nothing to do.`;
}

const recordsText = (records: number | null): string =>
  records === null ? 'all records' : records === 0 ? 'every request' : `all ${plural(records, 'record')}`;

function plural(count: number, one: string, many = `${one}s`): string {
  return `${count.toLocaleString('en-US')} ${count === 1 ? one : many}`;
}
