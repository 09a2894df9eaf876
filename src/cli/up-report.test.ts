import { expect, test } from 'vitest';
import type { LocalProgress } from '../local/cluster.ts';
import { progressPrinter, readyText } from './up-report.ts';

const events: LocalProgress[] = [
  { step: 'chroma', release: 'Chroma 1.0.5' },
  { step: 'starting', child: 'postgres' },
  { step: 'starting', child: 'node-1' },
  { step: 'ready', child: 'node-1', address: 'http://127.0.0.1:20001' },
  { step: 'ready', child: 'postgres', address: '127.0.0.1:20000' },
];

function shown(isTTY: boolean): string {
  let text = '';
  const print = progressPrinter({ isTTY, write: (more) => (text += more) });
  for (const event of events) print(event);
  return text;
}

test('prints progress as lines when the output is not a terminal', () => {
  expect(shown(false)).toBe(
    [
      'Starting PostgreSQL and the nodes (Chroma 1.0.5) …',
      '  node-1      ready  http://127.0.0.1:20001',
      '  PostgreSQL  ready  127.0.0.1:20000',
      '',
    ].join('\n'),
  );
});

test('shows the starting processes on a terminal, and removes them at the end', () => {
  const lines = shown(true).split('\r\u001B[K');
  expect(lines).toContain('  … PostgreSQL, node-1');
  expect(lines).toContain('  node-1      ready  http://127.0.0.1:20001\n  … PostgreSQL');
  expect(lines.at(-1)).toBe('  PostgreSQL  ready  127.0.0.1:20000\n');
});

const cluster = {
  release: 'Chroma 1.0.5',
  nodes: [{ id: 'node-1', url: 'http://127.0.0.1:20001', dataDir: '/data/nodes/node-1', pid: () => 1 }],
};

test.each([
  ['http://127.0.0.1:8000', 'http://127.0.0.1:8000', 'host="127.0.0.1", port=8000'],
  ['http://0.0.0.0:9000', 'http://127.0.0.1:9000', 'host="127.0.0.1", port=9000'],
  ['http://[::]:9000', 'http://[::1]:9000', 'host="::1", port=9000'],
  ['http://db.example', 'http://db.example:80', 'host="db.example", port=80'],
])('shows the client address of a gateway that listens on %s', (endpoint, shownEndpoint, python) => {
  const text = readyText({ url: endpoint, dashboardUrl: `${endpoint}/ui/` }, cluster, '/data');
  expect(text).toContain(`endpoint    ${shownEndpoint}\n`);
  expect(text).toContain(`dashboard   ${shownEndpoint}/ui/\n`);
  expect(text).toContain('node-1      http://127.0.0.1:20001\n');
  expect(text).toContain('data        /data\n');
  expect(text).toContain(python);
});
