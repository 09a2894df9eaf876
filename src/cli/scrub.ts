// `polychrome scrub`: compares all copies of every collection, and pauses, resumes or shows the scrub.

import { Command } from 'commander';
import { StartupError } from '../errors.ts';
import { scrubText } from '../util/operation-outcome.ts';
import { OPERATION_PROCESS, type OperationContext } from './operation-context.ts';
import { addWaitOptions, startOperation, WAITING_HELP, type WaitOptions } from './operation-wait.ts';
import { OperatorApi } from './operator-api.ts';

const EXAMPLES = `
Examples:
  polychrome scrub              compares all copies now, and waits
  polychrome scrub --detach
  polychrome scrub --status     when the last one ran, and what it found
  polychrome scrub --pause      stops it after the page in progress, on whichever gateway it runs
  polychrome scrub --resume

A copy that differs becomes suspect: nothing is served from it. SCRUB_INTERVAL is the schedule, SCRUB_BYTES_PER_SECOND the rate.
${WAITING_HELP}`;

interface ScrubCommandOptions extends WaitOptions {
  readonly pause?: boolean;
  readonly resume?: boolean;
  readonly status?: boolean;
}

/** As GET /admin/scrub returns it. */
interface ShownScrub {
  readonly state: 'idle' | 'requested' | 'running' | 'paused';
  readonly startedAt: string;
  readonly finishedAt: string | null;
  readonly total: number;
  readonly shards: number;
  readonly records: number;
  readonly uncompared: number;
  readonly suspects: number;
  readonly skipped: number;
}

export function scrubCommand(context: OperationContext = OPERATION_PROCESS): Command {
  const command = new Command('scrub')
    .description('Compares all copies of every collection on all nodes.')
    .option('--pause', 'pause the scrub')
    .option('--resume', 'let a paused scrub go on')
    .option('--status', 'show the scrub and do nothing else')
    .addHelpText('after', EXAMPLES);
  return addWaitOptions(command, context.env).action((options: ScrubCommandOptions) =>
    scrub(options, context),
  );
}

async function scrub(options: ScrubCommandOptions, context: OperationContext): Promise<void> {
  const { pause, resume, status, json } = options;
  const chosen = [pause, resume, status].filter((option) => option === true);
  if (chosen.length > 1) throw new StartupError('Use one of --pause, --resume and --status.');
  if (chosen.length === 0) return startOperation('/admin/scrub', options, context);
  const api = new OperatorApi(options);
  const shown =
    status === true
      ? await api.get<ShownScrub>('/admin/scrub')
      : await api.post<ShownScrub>(`/admin/scrub/${pause === true ? 'pause' : 'resume'}`);
  context.write(json === true ? `${JSON.stringify(shown, null, 2)}\n` : `${sentences(shown)}\n`);
}

function sentences(shown: ShownScrub): string {
  const { state, startedAt, finishedAt } = shown;
  const run = finishedAt === null ? `began at ${startedAt}` : `ended at ${finishedAt}`;
  return `The scrub is ${state}. The last pass ${run}. ${scrubText({ ...shown })}`;
}
