// What each kind of alert means for users, and what to do. docs/operations.md has a section for each.

export type Severity = 'critical' | 'warning';

interface AlertKindText {
  readonly severity: Severity;
  readonly title: string;
  /** What clients notice. */
  readonly effect: string;
  readonly action: string;
  /** How long its condition must hold before it opens, ms. */
  readonly afterMs: number;
}

// A state that a node leaves by itself within seconds is an event, not an alert.
const SOON_MS = 5_000;
// Bursts of load end within a minute.
const SUSTAINED_MS = 60_000;

export const ALERT_KINDS = {
  node_down: {
    severity: 'critical',
    title: 'Node down',
    effect: 'Requests are served by the other nodes; one more failure is tolerated less.',
    action: 'Restart the server unless something else does. "polychrome status" shows why it is down.',
    afterMs: SOON_MS,
  },
  node_out: {
    severity: 'critical',
    title: 'Node out of use',
    effect: 'Requests are served by the other nodes.',
    action:
      'It has lost content or another server is at its address: see "polychrome status" and docs/operations.md.',
    afterMs: SOON_MS,
  },
  no_node: {
    severity: 'critical',
    title: 'No node serves',
    effect: 'Reads fail with 503; writes are not confirmed.',
    action: 'Start the Chroma servers. "polychrome doctor" shows which cannot be reached.',
    afterMs: 0,
  },
  gateway_down: {
    severity: 'critical',
    title: 'Gateway does not serve',
    effect: 'Requests to this address fail.',
    action: 'Look at its process and its log, and at GET /health. Other gateways serve meanwhile.',
    afterMs: 0,
  },
  divergence: {
    severity: 'critical',
    title: 'Suspect collections',
    effect: 'None while another copy is healthy: suspect copies serve nothing.',
    action: 'Wait for the rebuild, or replace the node: docs/operations.md, "Suspect shards".',
    afterMs: 0,
  },
  log_halted: {
    severity: 'critical',
    title: 'The log cannot be continued',
    effect: 'Writes fail with 503. Reads continue.',
    action: 'Bring back the PostgreSQL server with the missing entries: docs/operations.md.',
    afterMs: 0,
  },
  lag: {
    severity: 'warning',
    title: 'Node behind the log',
    effect: 'Reads go to nodes that are up to date; writes at level "all" wait.',
    action: 'Wait for a bulk load to end. Otherwise look at "work" and "failing" in GET /status.',
    afterMs: SUSTAINED_MS,
  },
  postgresql_unreachable: {
    severity: 'critical',
    title: 'PostgreSQL unreachable',
    effect: 'Writes fail with 503. Reads continue from nodes known to be good.',
    action: 'Bring PostgreSQL back; nothing acknowledged is lost.',
    afterMs: 0,
  },
  error_rate: {
    severity: 'critical',
    title: 'Requests fail',
    effect: 'More than 5 % of the requests of a minute failed.',
    action: 'Look at the log of the gateway and at GET /health/check.',
    afterMs: 0,
  },
  latency: {
    severity: 'warning',
    title: 'Requests are slow',
    effect: 'One request in twenty takes longer than ALERT_LATENCY_MS.',
    action: '"polychrome slow --slowest --since 1h" shows which.',
    afterMs: SUSTAINED_MS,
  },
  memory: {
    severity: 'warning',
    title: 'Memory almost used up',
    effect: 'None yet; at its limit the kernel ends the process.',
    action: 'Raise the memory of the container, or lower BODY_BUDGET_BYTES and the caches.',
    afterMs: SUSTAINED_MS,
  },
  cpu: {
    severity: 'warning',
    title: 'CPU used up',
    effect: 'Requests take longer.',
    action: 'Add cores or gateways.',
    afterMs: SUSTAINED_MS,
  },
  failover: {
    severity: 'warning',
    title: 'Primary changed',
    effect: 'Writes paused for a moment. Nothing acknowledged is lost.',
    action: 'None; an alert about the old primary says why.',
    afterMs: 0,
  },
  quarantine: {
    severity: 'warning',
    title: 'Entry quarantined',
    effect: 'One write was applied on no node; its client got an error unless it asked for level "log".',
    action: '"polychrome quarantine list", then retry or discard it.',
    afterMs: 0,
  },
  healed: {
    severity: 'warning',
    title: 'Copy healed',
    effect: 'None: the copy serves again.',
    action: 'None.',
    afterMs: 0,
  },
  test: {
    severity: 'warning',
    title: 'Test of the alerts',
    effect: 'None.',
    action: 'None: an operator called "polychrome alert test".',
    afterMs: 0,
  },
} as const satisfies Record<string, AlertKindText>;

export type AlertKind = keyof typeof ALERT_KINDS;

/** One message about an alert. */
export interface AlertMessage {
  readonly state: 'open' | 'closed' | 'event';
  readonly kind: AlertKind;
  readonly key: string;
  readonly severity: Severity;
  readonly title: string;
  /** What exactly, such as the node and the reason. */
  readonly detail: string;
  /** ISO 8601. */
  readonly since: string;
  readonly effect: string;
  readonly action: string;
  readonly gateway: string;
}

export function messageOf(
  kind: AlertKind,
  parts: Pick<AlertMessage, 'state' | 'key' | 'detail' | 'gateway'> & { readonly sinceMs: number },
): AlertMessage {
  const { severity, title, effect, action } = ALERT_KINDS[kind];
  const { sinceMs, ...rest } = parts;
  return { ...rest, kind, severity, title, effect, action, since: new Date(sinceMs).toISOString() };
}

/** The text of a message for Slack and what is compatible with it. */
export function slackText({ state, title, detail, since, effect, action, gateway }: AlertMessage): string {
  if (state === 'closed')
    return `:white_check_mark: *Recovered: ${title}*\n${detail}\nIt began at ${since}. (${gateway})`;
  const symbol = state === 'open' ? ':rotating_light:' : ':information_source:';
  return `${symbol} *${title}*\n${detail}\nSince: ${since}\nEffect: ${effect}\nWhat to do: ${action} (${gateway})`;
}
