// Asks porcupine, a checker of linearizability in Go, about the strong reads and writes of a history.

import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import type { History, Observed } from './history.ts';

const MODULE = fileURLToPath(new URL('porcupine/', import.meta.url));

export function isGoInstalled(): boolean {
  return spawnSync('go', ['version']).status === 0;
}

/** The records whose strong reads and writes no order explains. Throws when porcupine cannot be run. */
export function notLinearizable(history: History): string[] {
  const records = [...Map.groupBy(history, ({ record }) => record)];
  const input = JSON.stringify(
    records.map(([name, operations]) => ({ name, operations: exported(operations) })),
  );
  const run = spawnSync('go', ['run', '.'], { cwd: MODULE, input, encoding: 'utf8' });
  if (run.status !== 0) throw new Error(`porcupine could not be run: ${run.stderr}`);
  return run.stdout.split('\n').filter((name) => name !== '');
}

function exported(operations: readonly Observed[]): object[] {
  const values = operations.flatMap(({ effect }) => ('value' in effect ? [effect.value] : []));
  const clients = [...new Set(operations.map(({ client }) => client))];
  // Times become whole numbers, in the same order.
  const moments = operations.flatMap(({ invokedAt, returnedAt }) => [invokedAt, returnedAt ?? invokedAt]);
  const order = new Map([...new Set(moments)].sort((a, b) => a - b).map((moment, i) => [moment, i]));
  return operations
    .filter(({ outcome, effect, guarantee }) => {
      if (outcome === 'refused') return false;
      return effect.does !== 'read' || (guarantee === 'strong' && outcome === 'ok');
    })
    .map(({ client, effect, invokedAt, returnedAt, outcome }) => ({
      // An operation without an end occupies its client for ever, so each is a client of its own.
      client: outcome === 'ok' ? clients.indexOf(client) : clients.length + order.get(invokedAt)!,
      does: effect.does,
      value: 'value' in effect ? effect.value : null,
      matches: effect.does === 'delete_if' ? values.filter((value) => effect.matches(value)) : [],
      saw: effect.does === 'read' ? effect.saw : null,
      call: 2 * order.get(invokedAt)!,
      return: outcome === 'ok' && returnedAt !== null ? 2 * order.get(returnedAt)! + 1 : null,
    }));
}
