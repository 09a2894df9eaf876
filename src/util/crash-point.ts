// Named points at which a test kills this process, as a power failure would. They do nothing unless the process was
// started with NODE_ENV=test and CRASH_AT=name or CRASH_AT=name:n; after SIGUSR2, the n-th arrival at the point kills it, or
// freezes it with CRASH_SIGNAL=SIGSTOP, so that a node can be killed at this very moment.

export const CRASH_POINTS = [
  'append_before', // nothing of the batch has left this process
  'append_sent', // the statement was sent, its result has not arrived
  'append_committed', // durable, not published in this process yet
  'append_published', // appliers have the entries, clients have no response
  'call_sent', // a mutating call was sent, its response has not arrived
  'call_responded',
  'checkpoint_before',
  'checkpoint_after',
  'decision_before', // the primary has decided, nothing is recorded
  'decision_recorded', // recorded, nothing of it applied
  'part_halfway', // some parts of a large call are applied, some are not
  'delete_halfway', // some chunks of a conditional delete are applied, some are not
  'marker_before',
  'marker_after', // on the node, not in PostgreSQL yet
  'copy_recorded', // the name of a copy is durable, it does not exist on its node
  'copy_created', // it exists, its id is not recorded
  'copy_halfway', // some of its records are there
  'copy_complete', // its content is exact, no marker says so
  'copy_marked', // the marker holds its number, PostgreSQL does not know
  'swap_before', // PostgreSQL knows that it is complete
  'swap_after', // in use; the copy before it is retired
  'fill_reset', // a node begins again: durable, its server is as it was
  'fill_emptied', // its old content and marker are gone
  'fill_recorded', // its new incarnation is durable, no marker names it
  'fill_marked', // the marker names it, PostgreSQL does not know
  'drop_renamed', // a copy to be dropped has a name of its own
  'drop_done', // dropped on the node, still in PostgreSQL
] as const;
export type CrashPoint = (typeof CRASH_POINTS)[number];

const [chosen = '', times = '1'] =
  process.env['NODE_ENV'] === 'test' ? (process.env['CRASH_AT'] ?? '').split(':') : [];
let left = Number(times);
let armed = false;
if (chosen !== '') process.once('SIGUSR2', () => (armed = true));

function reached(name: CrashPoint): boolean {
  if (!armed || name !== chosen) return false;
  left -= 1;
  return left === 0;
}

const signal = process.env['CRASH_SIGNAL'] === 'SIGSTOP' ? 'SIGSTOP' : 'SIGKILL';
const die = (): void => void process.kill(process.pid, signal);
const nothing = (_name: CrashPoint): void => undefined;

/** Kills the process here when this is the chosen point. */
export const crashPoint =
  chosen === '' ? nothing : (name: CrashPoint): void => (reached(name) ? die() : undefined);

/** The same, after the bytes just written to a socket have been sent. */
export const crashPointOnceSent =
  chosen === ''
    ? nothing
    : (name: CrashPoint): void => {
        if (reached(name)) setImmediate(() => setImmediate(die));
      };
