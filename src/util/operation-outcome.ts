// What an operation of an operator did, in sentences: for the command line and the dashboard. Pure.

/** As GET /admin/operations/ID returns it. */
export interface EndedOperation {
  readonly kind: string;
  readonly target: string;
  readonly result: object | null;
}

type OutcomeValues = Readonly<Record<string, unknown>>;

const OUTCOMES: Readonly<Record<string, (node: string, result: OutcomeValues) => string>> = {
  'node promote': (node, { before }) =>
    before === node
      ? `Node ${node} is the primary already.`
      : `Node ${node} is the primary; before it was ${String(before)}.`,
  'node verify': (node, { collections, records, suspects }) =>
    `${counted(collections, 'collection')} of node ${node} compared, ${counted(records, 'record')}. ${suspectsText(suspects)}`,
  'node rebuild': (node, { rebuilt, onlyHere }) => {
    const left = Array.isArray(onlyHere) ? onlyHere.map(String) : [];
    const done = `${counted(rebuilt, 'collection')} of node ${node} ${rebuilt === 1 ? 'was' : 'were'} copied anew and compared.`;
    return left.length === 0
      ? done
      : `${done} No other node has a healthy copy of ${left.join(', ')}: left as it is.`;
  },
  'node add': (node) => `Node ${node} serves.`,
  'node undrain': (node) => `Node ${node} serves.`,
  'node drain': (node, { primary }) =>
    `Node ${node} is out of service and may be stopped; the primary is ${String(primary)}.`,
  'node remove': (node, { primary }) =>
    `Node ${node} is removed; its server may be stopped. The primary is ${String(primary)}.`,
  scrub: (_none, result) => scrubText(result),
};

export function operationOutcome({ kind, target, result }: EndedOperation): string {
  const values = (result ?? {}) as OutcomeValues;
  return OUTCOMES[kind]?.(target, values) ?? `Done. ${JSON.stringify(values)}`;
}

/** What a scrub has compared and found; `total`: how many collections there are. */
export function scrubText({ shards, total, records, suspects, uncompared, skipped }: OutcomeValues): string {
  const compared =
    total === undefined
      ? counted(shards, 'collection')
      : `${String(shards)} of ${counted(total, 'collection')}`;
  const left =
    skipped === 0 && uncompared === 0
      ? ''
      : ` Left to the next scrub: ${counted(skipped, 'collection')}, ${counted(uncompared, 'record')}.`;
  return `${compared} compared, ${counted(records, 'record')}. ${suspectsText(suspects)}${left}`;
}

function suspectsText(suspects: unknown): string {
  return suspects === 0
    ? 'No copy is wrong.'
    : `${counted(suspects, 'copy', 'copies')} became suspect: see GET /status.`;
}

function counted(count: unknown, one: string, many = `${one}s`): string {
  return `${Number(count).toLocaleString('en-US')} ${count === 1 ? one : many}`;
}
