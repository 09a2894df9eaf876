// `polychrome config`: the effective settings of this environment, where each comes from, and no secret.

import { Command } from 'commander';
import { effectiveSettings, loadConfig } from '../config/config.ts';
import { columns, PROCESS, type CommandContext } from './command-context.ts';

const EXAMPLES = `
Examples:
  polychrome config                  the settings that are set, and the defaults of all others
  polychrome config --json
  env $(cat gateway.env) polychrome config

Secrets are masked. Exit code 0: a gateway starts with these settings. Exit code 1: it does not; the message says why.`;

export function configCommand({ env, write }: CommandContext = PROCESS): Command {
  return new Command('config')
    .description('Shows the settings that `polychrome serve` would use in this environment.')
    .option('--json', 'print JSON instead of text')
    .addHelpText('after', EXAMPLES)
    .action(({ json }: { json?: boolean }) => {
      const settings = effectiveSettings(env);
      if (json === true) write(`${JSON.stringify(settings, null, 2)}\n`);
      else
        write(
          `${columns(
            ['setting', 'value', 'from'],
            settings.map(({ name, value, origin }) => [name, value ?? '-', origin]),
          )}\n`,
        );
      // Throws what would stop a start, after everything has been shown.
      loadConfig(env);
    });
}
