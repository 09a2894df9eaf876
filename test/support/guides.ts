// The commands in the guides under docs/.

import { readFileSync } from 'node:fs';

export const GUIDES = ['quick-start', 'docker', 'render', 'kubernetes', 'migration', 'faq'] as const;

/** The text of a guide. */
export function guide(name: (typeof GUIDES)[number]): string {
  return readFileSync(new URL(`../../docs/${name}.md`, import.meta.url), 'utf8');
}

/** The lines of its shell blocks. */
export function commandsIn(markdown: string): string[] {
  return Array.from(markdown.matchAll(/^```sh\n([^]*?)^```/gm), ([, block]) => block!)
    .flatMap((block) => block.split('\n'))
    .filter((line) => line !== '');
}

export interface CurlCommand {
  readonly method: string;
  readonly url: URL;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string | null;
}

/** A curl command of the form that the guides use; null for any other. */
export function curlCommand(command: string): CurlCommand | null {
  const words = Array.from(command.matchAll(/'([^']*)'|(\S+)/g), ([, quoted, plain]) => quoted ?? plain!);
  if (words.shift() !== 'curl') return null;
  let [method, url, body]: [string, string | null, string | null] = ['GET', null, null];
  const headers: Record<string, string> = {};
  for (let word = words.shift(); word !== undefined; word = words.shift()) {
    if (word === '-s') continue;
    if (word === '-X') method = words.shift() ?? '';
    else if (word === '-d') body = words.shift() ?? '';
    else if (word === '-H') {
      const [name = '', value = ''] = (words.shift() ?? '').split(': ');
      headers[name] = value;
    } else if (url === null && URL.canParse(word)) url = word;
    else return null;
  }
  return url === null ? null : { method, url: new URL(url), headers, body };
}
