// The results as pictures: SVG written by hand, since two kinds of chart need no library.

import type { SweepPoint } from './results.ts';

// Okabe and Ito's colours: told apart by colour-blind readers, too.
const COLOURS: Readonly<Record<string, string>> = {
  direct: '#7f7f7f',
  ceiling: '#000000',
  haproxy: '#56b4e9',
  polychrome1: '#d55e00',
  polychrome3: '#009e73',
};
const FONT = 'font-family="system-ui, sans-serif" font-size="12"';
const INK = '#222222';
const GRID = '#dddddd';

const colour = (target: string): string => COLOURS[target] ?? '#cc79a7';
const escape = (text: string): string => text.replaceAll('&', '&amp;').replaceAll('<', '&lt;');
const fixed = (value: number): string => value.toFixed(1);

interface Label {
  readonly anchor?: 'start' | 'middle' | 'end';
  readonly bold?: boolean;
}

function label(x: number, y: number, words: string, { anchor = 'start', bold = false }: Label = {}): string {
  const weight = bold ? ' font-weight="bold"' : '';
  return `<text x="${fixed(x)}" y="${fixed(y)}" text-anchor="${anchor}"${weight} fill="${INK}">${escape(words)}</text>`;
}

function document(width: number, height: number, title: string, parts: readonly string[]): string {
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${Math.ceil(height)}" ${FONT} role="img">`,
    `<title>${escape(title)}</title>`,
    `<rect width="100%" height="100%" fill="#ffffff"/>`,
    label(16, 24, title, { bold: true }),
    ...parts,
    '</svg>\n',
  ].join('\n');
}

function legend(targets: readonly string[], x: number, y: number): string[] {
  let at = x;
  return targets.flatMap((target) => {
    const parts = [
      `<rect x="${at}" y="${y - 10}" width="12" height="12" fill="${colour(target)}"/>`,
      label(at + 17, y, target),
    ];
    at += 34 + target.length * 7;
    return parts;
  });
}

export interface BarGroup {
  readonly name: string;
  readonly bars: readonly { readonly target: string; readonly value: number }[];
}

const BARS = { width: 860, left: 130, right: 70, top: 64, bar: 13, gap: 14 };

/** Horizontal bars in groups; a line stands at `reference`. */
export function barChart(title: string, groups: readonly BarGroup[], reference: number): string {
  const { width, left, right, top, bar, gap } = BARS;
  const values = groups.flatMap(({ bars }) => bars.map(({ value }) => value));
  const scale = (width - left - right) / Math.max(reference, ...values);
  const targets = [...new Set(groups.flatMap(({ bars }) => bars.map(({ target }) => target)))];
  const parts = legend(targets, 16, 46);
  let y = top;
  for (const { name, bars } of groups) {
    parts.push(label(left - 8, y + (bars.length * bar) / 2 + 4, name, { anchor: 'end' }));
    for (const { target, value } of bars) {
      const length = fixed(Math.max(1, value * scale));
      parts.push(
        `<rect x="${left}" y="${y}" width="${length}" height="${bar - 2}" fill="${colour(target)}"/>`,
      );
      parts.push(label(left + value * scale + 5, y + bar - 3, `${value.toFixed(2)}×`));
      y += bar;
    }
    y += gap;
  }
  const x = fixed(left + reference * scale);
  parts.push(
    `<line x1="${x}" x2="${x}" y1="${top - 6}" y2="${y - gap + 4}" stroke="${INK}" stroke-dasharray="3 3"/>`,
  );
  return document(width, y + 8, title, parts);
}

const CURVES = { width: 860, height: 420, left: 70, right: 24, top: 64, bottom: 48 };

/** Latency (logarithmic) against throughput: the 99th percentile as a line, the median as a dashed one. */
export function latencyChart(title: string, curves: ReadonlyMap<string, readonly SweepPoint[]>): string {
  const { width, height, left, right, top, bottom } = CURVES;
  const points = [...curves.values()].flat().filter(({ p99Ms }) => Number.isFinite(p99Ms));
  const rateMax = Math.max(1, ...points.map(({ qps }) => qps)) * 1.05;
  const low = Math.floor(Math.log10(Math.min(1, ...points.map(({ p50Ms }) => Math.max(p50Ms, 0.1)))));
  const high = Math.ceil(Math.log10(Math.max(10, ...points.map(({ p99Ms }) => p99Ms))));
  const x = (qps: number): number => left + (qps / rateMax) * (width - left - right);
  const y = (ms: number): number => {
    const share = (Math.log10(Math.max(ms, 10 ** low)) - low) / (high - low);
    return height - bottom - share * (height - top - bottom);
  };
  const parts = legend([...curves.keys()], 16, 46);
  for (let power = low; power <= high; power += 1) {
    const at = fixed(y(10 ** power));
    parts.push(`<line x1="${left}" x2="${width - right}" y1="${at}" y2="${at}" stroke="${GRID}"/>`);
    parts.push(label(left - 8, y(10 ** power) + 4, `${10 ** power} ms`, { anchor: 'end' }));
  }
  const step = niceStep(rateMax / 6);
  for (let rate = 0; rate <= rateMax; rate += step) {
    parts.push(label(x(rate), height - bottom + 18, String(rate), { anchor: 'middle' }));
  }
  parts.push(
    label(width / 2, height - 10, 'operations a second; line: p99, dashed: p50', { anchor: 'middle' }),
  );
  for (const [target, ofTarget] of curves) {
    const drawn = ofTarget.filter(({ p99Ms }) => Number.isFinite(p99Ms)).toSorted((a, b) => a.qps - b.qps);
    const path = (value: (point: SweepPoint) => number): string =>
      drawn.map((point) => `${fixed(x(point.qps))},${fixed(y(value(point)))}`).join(' ');
    const line = `fill="none" stroke="${colour(target)}" stroke-width="2"`;
    parts.push(`<polyline points="${path(({ p99Ms }) => p99Ms)}" ${line}/>`);
    parts.push(`<polyline points="${path(({ p50Ms }) => p50Ms)}" ${line} stroke-dasharray="5 4"/>`);
    for (const { qps, p99Ms } of drawn) {
      parts.push(`<circle cx="${fixed(x(qps))}" cy="${fixed(y(p99Ms))}" r="3" fill="${colour(target)}"/>`);
    }
  }
  return document(width, height, title, parts);
}

/** 1, 2 or 5 times a power of ten, at least `atLeast`. */
function niceStep(atLeast: number): number {
  const power = 10 ** Math.floor(Math.log10(Math.max(1, atLeast)));
  return power * ([1, 2, 5].find((factor) => factor * power >= atLeast) ?? 10);
}
