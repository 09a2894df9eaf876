// Named points at which a test has this process kill itself, as if its machine had lost power. They do nothing unless
// it was started with NODE_ENV=test and CRASH_AT=name or CRASH_AT=name:n, and has then been armed by SIGUSR2: the
// n-th time from then on that the point is reached is the last thing that happens.

export const CRASH_POINTS = [
  'append_before', // nothing of the batch has left this process
  'append_sent', // the statement is out, its answer is not here
  'append_committed', // durable, and nobody here knows it yet
  'append_published', // appliers have the entries, clients have no answer
  'call_sent', // a mutating call is out, its answer is not here
  'call_answered',
  'checkpoint_before',
  'checkpoint_after',
  'decision_before', // the primary has made up its mind, which is not on record
  'decision_recorded', // on record, nothing of it carried out
  'part_halfway', // some parts of a large call are applied, some are not
  'delete_halfway', // some chunks of a conditional delete are gone, some are not
  'marker_before',
  'marker_after', // on the node, not yet in PostgreSQL
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

const die = (): void => void process.kill(process.pid, 'SIGKILL');
const nothing = (_name: CrashPoint): void => undefined;

/** Ends the process here when this is the point it was started to die at. */
export const crashPoint =
  chosen === '' ? nothing : (name: CrashPoint): void => (reached(name) ? die() : undefined);

/** The same, once what was handed to a socket just now has had its turn to leave. */
export const crashPointOnceSent =
  chosen === ''
    ? nothing
    : (name: CrashPoint): void => {
        if (reached(name)) setImmediate(() => setImmediate(die));
      };
