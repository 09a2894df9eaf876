// Finds misspelt names of settings in an environment that also holds other programs' variables.

import { StartupError } from '../errors.ts';

export type Environment = Readonly<Record<string, string | undefined>>;

/**
 * Throws StartupError when `name` looks like one of the `known` names and that one is not set. Anything else belongs
 * to another program.
 */
export function refuseUnknownName(name: string, known: readonly string[], env: Environment): void {
  if (known.includes(name)) return;
  if (name.startsWith('POLYCHROME_')) {
    throw new StartupError(
      `${name} is not a setting of Polychrome; settings have no prefix. See docs/configuration.md.`,
    );
  }
  const meant = known.find((each) => isMisspelling(name, each));
  if (meant !== undefined && (env[meant] ?? '') === '')
    throw new StartupError(`${name} is not a setting of Polychrome; did you mean ${meant}?`);
}

// Shorter names are one letter away from too many variables of other programs.
const MISSPELT_LENGTH_MIN = 8;

/** Whether `name` is `known` with another case, other separators, a plural, or one letter wrong. */
function isMisspelling(name: string, known: string): boolean {
  const plain = (text: string): string => text.toUpperCase().replace(/[_-]|S$/g, '');
  if (known.length > 5 && plain(known) === plain(name)) return true;
  return (
    Math.min(known.length, name.length) >= MISSPELT_LENGTH_MIN && isOneEditAway(known, name.toUpperCase())
  );
}

/** True when one letter added, left out, replaced, or swapped with its neighbour turns `a` into `b`. */
function isOneEditAway(a: string, b: string): boolean {
  let at = 0;
  while (at < a.length && a[at] === b[at]) at++;
  const [left, right] = [a.slice(at), b.slice(at)];
  return (
    left.slice(1) === right.slice(1) ||
    left.slice(1) === right ||
    left === right.slice(1) ||
    (left[0] === right[1] && left[1] === right[0] && left.slice(2) === right.slice(2))
  );
}
