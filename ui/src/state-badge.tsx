// The state of a node in words, with a colour and a shape.

const KINDS: Readonly<Record<string, 'ok' | 'notice' | 'warning' | 'critical'>> = {
  serving: 'ok',
  busy: 'ok',
  joining: 'notice',
  catching_up: 'notice',
  drained: 'warning',
  down: 'critical',
  fenced: 'critical',
  needs_rebuild: 'critical',
};

const SHAPES = {
  info: <circle cx="5" cy="5" r="2.5" />,
  ok: <circle cx="5" cy="5" r="4" />,
  notice: <circle cx="5" cy="5" r="3" fill="none" stroke="currentColor" stroke-width="2" />,
  warning: <path d="M5 .8 9.6 9.2H.4z" />,
  critical: <path d="M1 1h8v8H1z" />,
} as const;

type Severity = keyof typeof SHAPES;

export function Shape({ kind }: { readonly kind: Severity }) {
  return (
    <svg
      class={`shape ${kind}`}
      viewBox="0 0 10 10"
      width="10"
      height="10"
      fill="currentColor"
      aria-hidden="true"
    >
      {SHAPES[kind]}
    </svg>
  );
}

/** Whether a node in this state needs somebody. */
export const isBroken = (state: string): boolean => KINDS[state] === 'critical';

export function StateBadge({ state }: { readonly state: string }) {
  const kind = KINDS[state] ?? 'notice';
  return (
    <span class={`state ${kind}`}>
      <Shape kind={kind} />
      {state.replace('_', ' ')}
    </span>
  );
}
