// Questions for any text: phrases taken out of it, so that anyone can see whether the right place was found.
import type { TextRecord } from './traffic.ts';

export interface Question {
  readonly phrase: string;
  /** Path of the document it was taken from. */
  readonly path: string;
}

const PHRASE_CHARACTERS_MAX = 120;

/** One phrase from each of `count` equal parts of the text, out of the chunk that reads most like prose. */
export function questionsFrom(records: readonly TextRecord[], count: number): Question[] {
  return Array.from({ length: count }, (_, i) => {
    const from = Math.floor((records.length * i) / count);
    const to = Math.max(from + 1, Math.floor((records.length * (i + 1)) / count));
    const part = records.slice(from, to);
    const best = part.reduce((a, b) => (proseShare(b) > proseShare(a) ? b : a));
    return { phrase: phraseFrom(best.document), path: best.metadata.path };
  });
}

/** Letters and blanks among its characters; 0 for a chunk that makes no good question. */
function proseShare({ document: text, metadata }: TextRecord): number {
  // Licences read like prose, and a dozen packages hold the same: any of them would be a right answer.
  if (/licen[cs]e|notice|copying/iu.test(metadata.path)) return 0;
  if (text.length < 3 * PHRASE_CHARACTERS_MAX) return 0;
  return (text.match(/[\p{L} ]/gu)?.length ?? 0) / text.length;
}

/** Whole words from a third of the way in, where no heading gives the answer away. */
function phraseFrom(text: string): string {
  const rest = text.slice(Math.floor(text.length / 3)).replace(/\s+/gu, ' ');
  const phrase = rest.slice(rest.indexOf(' ') + 1).slice(0, PHRASE_CHARACTERS_MAX);
  return phrase.slice(0, Math.max(phrase.lastIndexOf(' '), 0)).trim() || text.slice(0, PHRASE_CHARACTERS_MAX);
}
