import { execFileSync } from 'node:child_process';
import { Command } from 'commander';
import { beforeEach, describe, expect, test } from 'vitest';
import { completionCommand, wordsOf } from './completion.ts';

let output: string;
beforeEach(() => {
  output = '';
});

async function program(): Promise<Command> {
  const whole = new Command('polychrome').version('1');
  whole.command('status').option('--watch').option('--json');
  const quarantine = whole.command('quarantine');
  quarantine.command('list').option('--all');
  quarantine.command('show').option('--body');
  return whole;
}

async function script(shell: string): Promise<string> {
  const write = (text: string | Uint8Array): void => void (output += Buffer.from(text).toString());
  const command = completionCommand(program, { env: {}, write }).exitOverride();
  command.configureOutput({ writeErr: () => undefined });
  await command.parseAsync([shell], { from: 'user' });
  return output;
}

test('knows what may follow each command', async () => {
  expect(Object.fromEntries(wordsOf(await program()))).toEqual({
    '': ['status', 'quarantine', '--version', '--help'],
    status: ['--watch', '--json', '--help'],
    quarantine: ['list', 'show', '--help'],
    'quarantine list': ['--all', '--help'],
    'quarantine show': ['--body', '--help'],
  });
});

describe('the script for bash', () => {
  test.each([
    [['polychrome', 'st'], 'status'],
    [['polychrome', 'quarantine', ''], 'list show --help'],
    [['polychrome', 'quarantine', '--help', 'sh'], 'show'],
    [['polychrome', 'status', '--w'], '--watch'],
  ])('completes %j', async (words, expected) => {
    const quoted = words.map((word) => `'${word}'`).join(' ');
    const steps = `COMP_WORDS=(${quoted}); COMP_CWORD=${words.length - 1}; _polychrome; echo "\${COMPREPLY[*]}"`;
    const result = execFileSync('bash', ['-c', `${await script('bash')}\n${steps}`], { encoding: 'utf8' });
    expect(result.trim()).toBe(expected);
  });
});

test('the scripts for zsh and fish name commands, subcommands and options', async () => {
  const zsh = await script('zsh');
  expect(zsh).toContain('"quarantine") words_="list show --help" ;;');
  output = '';
  const fish = await script('fish');
  expect(fish).toContain("-n 'not __fish_seen_subcommand_from status quarantine' -a 'status quarantine'");
  expect(fish).toContain("-n '__fish_seen_subcommand_from status' -l watch");
});

test('an unknown shell is refused', async () => {
  await expect(script('powershell')).rejects.toThrow('Allowed choices are bash, zsh, fish');
});
