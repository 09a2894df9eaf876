#!/usr/bin/env node
// The command line: one file per command under cli/, loaded only when it is the one asked for.

import { readFileSync } from 'node:fs';
import { Command } from 'commander';
import { optimizeEarly } from './cli/compiler.ts';
import { boundAllocators } from './cli/memory.ts';
import { StartupError } from './errors.ts';

interface CommandEntry {
  readonly summary: string;
  readonly load: () => Promise<Command>;
}

const COMMANDS: Readonly<Record<string, CommandEntry>> = {
  up: {
    summary: 'run a whole cluster on this machine: PostgreSQL, Chroma servers, gateway',
    load: async () => (await import('./cli/up.ts')).upCommand(),
  },
  serve: {
    summary: 'run one gateway in front of your Chroma servers and your PostgreSQL',
    load: async () => (await import('./cli/serve.ts')).serveCommand(),
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
  const program = new Command('polychrome')
    .description('Many stock Chroma servers behind one endpoint.')
    .version(packageVersion())
    .showHelpAfterError();
  const wanted = words[0] === 'help' ? words[1] : words[0];
  if (wanted !== undefined && wanted in COMMANDS) {
    boundAllocators();
    optimizeEarly();
  }
  for (const [name, { summary, load }] of Object.entries(COMMANDS)) {
    const command = name === wanted ? await load() : new Command(name);
    program.addCommand(command.summary(summary).copyInheritedSettings(program));
  }
  return program;
}

function packageVersion(): string {
  // From src/ and from dist/ alike, package.json is one folder up.
  const text = readFileSync(new URL('../package.json', import.meta.url), 'utf8');
  const content: unknown = JSON.parse(text);
  const hasVersion = typeof content === 'object' && content !== null && 'version' in content;
  return hasVersion ? String(content.version) : 'unknown';
}
