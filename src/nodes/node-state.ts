// The states of a node and what moves it between them. Pure: no clock, no socket.
//
//                                                   ┌──occupied──▶ busy
//   joining ──admitted──▶ catching_up ──caught_up──▶ serving ◀──free──┘ │
//                           ▲      │                    │               │
//                       responds  failed              failed          failed
//                           │      ▼                    │               │
//                           └──── down ◀────────────────┴───────────────┘
//   catching_up, serving, busy ──drained──▶ drained ──undrained──▶ catching_up        drained ──failed──▶ down
//   any ──wrong_identity──▶ fenced          any ──lost_content──▶ needs_rebuild

export const NODE_STATES = [
  'joining',
  'catching_up',
  'serving',
  'busy',
  'drained',
  'down',
  'fenced',
  'needs_rebuild',
] as const;
export type NodeState = (typeof NODE_STATES)[number];

export const NODE_EVENTS = [
  'admitted', // identity checked, capabilities known
  'caught_up', // has applied what the log held a moment ago, and its canary succeeds
  'occupied', // works on a call that delays everything else
  'free', // has responded to that call
  'drained', // an operator takes it out of service, once it has caught up
  'undrained', // an operator takes it back into service
  'failed', // stopped responding, or responds that it cannot work
  'responds', // responds again under its own identity
  'wrong_identity', // another server is at its address
  'lost_content', // lacks content that it had applied
] as const;
export type NodeEvent = (typeof NODE_EVENTS)[number];

const stay = (state: NodeState): Record<NodeEvent, NodeState> => ({
  admitted: state,
  caught_up: state,
  occupied: state,
  free: state,
  drained: state,
  undrained: state,
  failed: state,
  responds: state,
  wrong_identity: 'fenced',
  lost_content: 'needs_rebuild',
});

// The compiler requires every pair; the tests run through them.
const TRANSITIONS: Record<NodeState, Record<NodeEvent, NodeState>> = {
  joining: { ...stay('joining'), admitted: 'catching_up' },
  catching_up: { ...stay('catching_up'), caught_up: 'serving', drained: 'drained', failed: 'down' },
  serving: { ...stay('serving'), occupied: 'busy', drained: 'drained', failed: 'down' },
  // Alive, and the last choice for reads.
  busy: { ...stay('busy'), free: 'serving', drained: 'drained', failed: 'down' },
  // Follows the log, and neither serves reads nor becomes primary.
  drained: { ...stay('drained'), undrained: 'catching_up', failed: 'down' },
  down: { ...stay('down'), responds: 'catching_up' },
  // Another server is at its address. When the right one is back it catches up like any other.
  fenced: { ...stay('fenced'), lost_content: 'fenced', responds: 'catching_up' },
  needs_rebuild: { ...stay('needs_rebuild') },
};

export function nextState(state: NodeState, event: NodeEvent): NodeState {
  return TRANSITIONS[state][event];
}

/**
 * Whether an applier may send entries to a node in this state. A node that is down gets none: it may come back as a new
 * process with older content, which is verified before anything is added to it.
 */
export function follows(state: NodeState): boolean {
  return state === 'catching_up' || state === 'drained' || canServe(state);
}

/** Whether reads may be sent to a node in this state; whether it has applied their floor is asked elsewhere. */
export function canServe(state: NodeState): boolean {
  return state === 'serving' || state === 'busy';
}

export interface PrimaryCandidate {
  readonly id: string;
  readonly state: NodeState;
  readonly checkpoint: number;
  /** From NODE_PRIORITIES; a node that is not named has 0. */
  readonly priority: number;
}

/**
 * Which node should be primary: the present one while it works, else a serving one, else any other that works; of these
 * the one that operators prefer, then the one that has applied most. A drained node is primary only where no other serves. Null when none works: the present
 * one keeps the role, and writes wait.
 */
export function choosePrimary(nodes: readonly PrimaryCandidate[], present: string | null): string | null {
  const able = nodes.filter((node) => follows(node.state));
  const kept = able.find((node) => node.id === present);
  const isWanted = kept !== undefined && kept.state !== 'drained';
  if (isWanted || (kept !== undefined && !able.some((node) => canServe(node.state)))) return present;
  able.sort(
    (a, b) =>
      Number(canServe(b.state)) - Number(canServe(a.state)) ||
      b.priority - a.priority ||
      b.checkpoint - a.checkpoint,
  );
  return able[0]?.id ?? null;
}
