#!/usr/bin/env node
// The command line: one file per command under cli/, loaded only when it is the one asked for.

import { Command } from 'commander';
import { optimizeEarly } from './cli/compiler.ts';
import { boundAllocators } from './cli/memory.ts';
import { StartupError } from './errors.ts';
import { packageVersion } from './util/package-version.ts';

interface CommandEntry {
  readonly summary: string;
  /** It runs a gateway: its process is set up for that. */
  readonly isServer?: boolean;
  readonly load: () => Promise<Command>;
}

const COMMANDS: Readonly<Record<string, CommandEntry>> = {
  up: {
    isServer: true,
    summary: 'run a whole cluster on this machine: PostgreSQL, Chroma servers, gateway',
    load: async () => (await import('./cli/up.ts')).upCommand(),
  },
  serve: {
    isServer: true,
    summary: 'run one gateway in front of your Chroma servers and your PostgreSQL',
    load: async () => (await import('./cli/serve.ts')).serveCommand(),
  },
  status: {
    summary: 'show the cluster at a glance',
    load: async () => (await import('./cli/status.ts')).statusCommand(),
  },
  log: {
    summary: 'list the newest entries of the log, or recover a log that lost its last ones',
    load: async () => (await import('./cli/log.ts')).logCommand(),
  },
  slow: {
    summary: 'list slow requests of all gateways',
    load: async () => (await import('./cli/slow.ts')).slowCommand(),
  },
  alert: {
    summary: 'list open alerts, test webhooks',
    load: async () => (await import('./cli/alert.ts')).alertCommand(),
  },
  monitor: {
    summary: 'watch a cluster from outside, and send alerts',
    load: async () => (await import('./cli/monitor.ts')).monitorCommand(),
  },
  doctor: {
    summary: 'check settings, PostgreSQL and Chroma servers, and say what to fix',
    load: async () => (await import('./cli/doctor.ts')).doctorCommand(),
  },
  config: {
    summary: 'show the effective settings and where they come from',
    load: async () => (await import('./cli/config.ts')).configCommand(),
  },
  adopt: {
    summary: 'take the collections of a running Chroma server into a new cluster',
    load: async () => (await import('./cli/adopt.ts')).adoptCommand(),
  },
  events: {
    summary: 'list what happened to the cluster',
    load: async () => (await import('./cli/events.ts')).eventsCommand(),
  },
  node: {
    summary: 'list the nodes of a cluster, or change them',
    load: async () => (await import('./cli/node.ts')).nodeCommand(),
  },
  operation: {
    summary: 'list, show or wait for long operations of a gateway',
    load: async () => (await import('./cli/operation.ts')).operationCommand(),
  },
  selftest: {
    summary: 'test a running cluster as its clients see it',
    load: async () => (await import('./cli/selftest.ts')).selftestCommand(),
  },
  scrub: {
    summary: 'compare all copies of every collection',
    load: async () => (await import('./cli/scrub.ts')).scrubCommand(),
  },
  quarantine: {
    summary: 'list, show, retry or discard entries that no node could apply',
    load: async () => (await import('./cli/quarantine.ts')).quarantineCommand(),
  },
  completion: {
    summary: 'print a script for completion in bash, zsh or fish',
    load: async () => (await import('./cli/completion.ts')).completionCommand(wholeProgram),
  },
};

try {
  const program = await commandLine(process.argv.slice(2));
  await program.parseAsync();
} catch (error) {
  if (error instanceof StartupError) console.error(`polychrome: ${error.message}`);
  else console.error('polychrome: unexpected error:', error);
  process.exit(1); // whatever still holds the process open
}

async function commandLine(words: readonly string[]): Promise<Command> {
  const wanted = words[0] === 'help' ? words[1] : words[0];
  if (wanted !== undefined && COMMANDS[wanted]?.isServer === true) {
    boundAllocators();
    optimizeEarly();
  }
  return programWith((name) => name === wanted);
}

/** Every command with its options and subcommands, for completion. */
// Declared, not assigned: `completion` calls it before this line has run.
function wholeProgram(): Promise<Command> {
  return programWith(() => true);
}

async function programWith(isLoaded: (name: string) => boolean): Promise<Command> {
  const program = new Command('polychrome')
    .description('Many stock Chroma servers behind one endpoint.')
    .version(packageVersion())
    .addHelpText('after', '\nExit codes of every command: 0 done, 1 failed; its own help names further ones.')
    .showHelpAfterError();
  for (const [name, { summary, load }] of Object.entries(COMMANDS)) {
    const command = isLoaded(name) ? await load() : new Command(name);
    program.addCommand(command.summary(summary).copyInheritedSettings(program));
  }
  return program;
}
