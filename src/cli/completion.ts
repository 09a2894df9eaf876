// `polychrome completion`: scripts that let a shell complete commands and options.

import { Argument, Command } from 'commander';
import { PROCESS, type CommandContext } from './command-context.ts';

const EXAMPLES = `
Examples:
  source <(polychrome completion bash)                                    in ~/.bashrc
  source <(polychrome completion zsh)                                     in ~/.zshrc, after compinit
  polychrome completion fish > ~/.config/fish/completions/polychrome.fish`;

const SHELLS = { bash: bashScript, zsh: zshScript, fish: fishScript } as const;

/** `program`: the whole command line, every command loaded. */
export function completionCommand(
  program: () => Promise<Command>,
  { write }: CommandContext = PROCESS,
): Command {
  return new Command('completion')
    .description('Prints a script that completes commands and options.')
    .addArgument(new Argument('<shell>', 'the shell').choices(Object.keys(SHELLS)))
    .addHelpText('after', EXAMPLES)
    .action(async (shell: keyof typeof SHELLS) => write(SHELLS[shell](wordsOf(await program()))));
}

/** What may follow each sequence of command words; '' is the program itself. */
export function wordsOf(program: Command): ReadonlyMap<string, readonly string[]> {
  const words = new Map<string, readonly string[]>();
  const visit = (command: Command, path: string): void => {
    const children = command.commands.filter((child) => child.name() !== 'help');
    const options = command.options.map(({ long, short }) => long ?? short ?? '');
    const choices = command.registeredArguments.flatMap(({ argChoices }) => argChoices ?? []);
    words.set(path, [...children.map((child) => child.name()), ...choices, ...options, '--help']);
    for (const child of children) visit(child, `${path} ${child.name()}`.trim());
  };
  visit(program, '');
  return words;
}

type Words = ReturnType<typeof wordsOf>;

const casesOf = (words: Words): string =>
  Array.from(words, ([path, next]) => `    "${path}") words="${next.join(' ')}" ;;`).join('\n');

/** The command words before the cursor, options left out, select what may follow. */
function bashScript(words: Words): string {
  return `_polychrome() {
  local path="" word words="" i
  for ((i = 1; i < COMP_CWORD; i++)); do
    word="\${COMP_WORDS[i]}"
    case "$word" in -*) ;; *) path="\${path:+$path }$word" ;; esac
  done
  case "$path" in
${casesOf(words)}
  esac
  COMPREPLY=($(compgen -W "$words" -- "\${COMP_WORDS[COMP_CWORD]}"))
}
complete -F _polychrome polychrome
`;
}

function zshScript(words: Words): string {
  return `#compdef polychrome
_polychrome() {
  local path_="" word words_="" i
  for ((i = 2; i < CURRENT; i++)); do
    word="\${words[i]}"
    case "$word" in -*) ;; *) path_="\${path_:+$path_ }$word" ;; esac
  done
  case "$path_" in
${casesOf(words).replaceAll('words=', 'words_=')}
  esac
  compadd -- \${=words_}
}
compdef _polychrome polychrome
`;
}

function fishScript(words: Words): string {
  const lines = ['complete -c polychrome -f'];
  for (const [path, next] of words) {
    const seen = path === '' ? [] : path.split(' ');
    const follows = seen.map((word) => `__fish_seen_subcommand_from ${word}`);
    const children = next.filter((word) => !word.startsWith('-'));
    const none = children.length === 0 ? [] : [`not __fish_seen_subcommand_from ${children.join(' ')}`];
    const condition = [...follows, ...none].join('; and ');
    const when = condition === '' ? '' : ` -n '${condition}'`;
    if (children.length > 0) lines.push(`complete -c polychrome${when} -a '${children.join(' ')}'`);
    for (const option of next.filter((word) => word.startsWith('--')))
      lines.push(
        `complete -c polychrome${path === '' ? ' -n __fish_use_subcommand' : ` -n '${follows.join('; and ')}'`} -l ${option.slice(2)}`,
      );
  }
  return `${lines.join('\n')}\n`;
}
