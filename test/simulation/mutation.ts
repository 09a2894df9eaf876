// Loads the simulator with a deliberate bug in one module of src/. The modules are loaded anew under addresses of their own,
// with the text of one changed; nothing in src/ knows of this.

import { readFileSync } from 'node:fs';
import { registerHooks, stripTypeScriptTypes } from 'node:module';
import { fileURLToPath } from 'node:url';

/** A deliberate bug: one text of one file replaced. */
export interface Mutant {
  readonly name: string;
  /** Path from the root of the repository. */
  readonly file: string;
  /** Occurs exactly once in the file. */
  readonly find: string;
  readonly replace: string;
  /** A seed that catches it; null while none is known. */
  readonly seed: number | null;
}

type Simulator = Pick<typeof import('./world/run.ts'), 'runPlan'>;

const ROOT = new URL('../../', import.meta.url);
const MARK = /\?mutant=(?<name>[\w-]+)$/;

const loaded = new Map<string, Mutant>();
/** JavaScript of unchanged modules, by their address: it is the same for every mutant. */
const sources = new Map<string, string>();
let isHooked = false;

/** The simulator with the bug in it. Throws when the text to replace does not occur exactly once. */
export async function importMutated(mutant: Mutant): Promise<Simulator> {
  textOf(mutant); // throws before anything is loaded
  loaded.set(mutant.name, mutant);
  if (!isHooked) hook();
  isHooked = true;
  return (await import(`./world/run.ts?mutant=${mutant.name}`)) as Simulator;
}

/** The changed text of the mutant's file. */
export function textOf({ name, file, find, replace }: Mutant): string {
  const text = readFileSync(new URL(file, ROOT), 'utf8');
  const times = text.split(find).length - 1;
  if (times !== 1)
    throw new Error(`the mutant "${name}" no longer fits: its text occurs ${times} times in ${file}`);
  return text.replace(find, () => replace);
}

function hook(): void {
  registerHooks({
    resolve(specifier, context, nextResolve) {
      const resolved = nextResolve(specifier, context);
      const name = MARK.exec(context.parentURL ?? '')?.groups?.['name'];
      const isOwn = resolved.url.startsWith(ROOT.href) && !resolved.url.includes('/node_modules/');
      return name === undefined || !isOwn ? resolved : { ...resolved, url: `${resolved.url}?mutant=${name}` };
    },
    load(url, context, nextLoad) {
      const name = MARK.exec(url)?.groups?.['name'];
      if (name === undefined) return nextLoad(url, context);
      const address = url.replace(MARK, '');
      const mutant = loaded.get(name)!;
      const isChanged = address === new URL(mutant.file, ROOT).href;
      const source = isChanged ? stripTypeScriptTypes(textOf(mutant)) : sourceAt(address);
      return { format: 'module', source, shortCircuit: true };
    },
  });
}

function sourceAt(address: string): string {
  const known = sources.get(address);
  if (known !== undefined) return known;
  const source = stripTypeScriptTypes(readFileSync(fileURLToPath(address), 'utf8'));
  sources.set(address, source);
  return source;
}
