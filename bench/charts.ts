// Renders benchmark results as SVG charts with Vega-Lite.

import { parse, View } from 'vega';
import { compile, type TopLevelSpec } from 'vega-lite';
import type { SweepPoint } from './results.ts';

export interface BarGroup {
  readonly name: string;
  readonly bars: readonly { readonly target: string; readonly value: number }[];
}

interface Theme {
  readonly background: string;
  readonly ink: string;
  readonly muted: string;
  readonly grid: string;
  readonly targets: Readonly<Record<string, string>>;
}

// Target colours: Okabe and Ito's palette, distinguishable with colour blindness; lighter on a dark page.
const LIGHT: Theme = {
  background: '#ffffff',
  ink: '#1f2328',
  muted: '#59636e',
  grid: '#e4e8ec',
  targets: {
    direct: '#8b949e',
    haproxy: '#56b4e9',
    polychrome1: '#d55e00',
    polychrome3: '#009e73',
    ceiling: '#3d444d',
  },
};
const DARK: Theme = {
  background: '#0d1117',
  ink: '#f0f6fc',
  muted: '#9198a1',
  grid: '#262c36',
  targets: {
    direct: '#7d8590',
    haproxy: '#58b8f0',
    polychrome1: '#f0883e',
    polychrome3: '#2dba8e',
    ceiling: '#d1d7e0',
  },
};
const UNKNOWN_TARGET = '#cc79a7';

const WIDTH = 720;
const BAR_HEIGHT = 13;
const CURVES_HEIGHT = 320;
const POWERS_OF_TEN = [0.01, 0.1, 1, 10, 100, 1_000, 10_000, 100_000];

/** Horizontal bars in one group per workload, with a rule at `reference`. */
export function barChart(title: string, groups: readonly BarGroup[], reference: number): Promise<string> {
  const rows = groups.flatMap(({ name, bars }) =>
    bars.map(({ target, value }) => ({ workload: name, target, value, label: `${value.toFixed(2)}×` })),
  );
  const targets = distinctTargets(rows);
  const domain = [0, Math.max(reference, ...rows.map(({ value }) => value))];
  const x = { field: 'value', type: 'quantitative', stack: null, axis: null, scale: { domain, nice: false } };
  const y = {
    field: 'workload',
    type: 'nominal',
    sort: null,
    axis: { title: null, labelColor: LIGHT.ink, labelFontSize: 11 },
    scale: { paddingInner: 0.16, paddingOuter: 0.08 },
  };
  const yOffset = { field: 'target', type: 'nominal', sort: targets, scale: { paddingInner: 0.15 } };
  return render({
    title,
    data: { values: rows },
    width: WIDTH,
    height: { step: BAR_HEIGHT, for: 'offset' },
    layer: [
      {
        mark: { type: 'bar', cornerRadiusEnd: 2 },
        encoding: { x, y, yOffset, color: targetColour(targets) },
      },
      {
        mark: { type: 'text', align: 'left', dx: 5, fontSize: 11, color: LIGHT.muted },
        encoding: { x, y, yOffset, text: { field: 'label' } },
      },
      {
        data: { values: [{}] },
        mark: { type: 'rule', strokeDash: [3, 3], color: LIGHT.ink },
        encoding: { x: { datum: reference, type: 'quantitative' } },
      },
    ],
  });
}

/** Latency on a logarithmic scale against throughput, one colour per target: p99 solid, p50 dashed. */
export function latencyChart(
  title: string,
  curves: ReadonlyMap<string, readonly SweepPoint[]>,
): Promise<string> {
  const rows = [...curves].flatMap(([target, points]) =>
    points
      .filter(({ p99Ms }) => Number.isFinite(p99Ms))
      .flatMap(({ rate, qps, p50Ms, p99Ms }) => [
        { target, rate, qps, percentile: 'p99', ms: p99Ms },
        { target, rate, qps, percentile: 'p50', ms: p50Ms },
      ]),
  );
  return render({
    title: { text: title, subtitle: 'solid: p99, dashed: p50' },
    data: { values: rows },
    width: WIDTH,
    height: CURVES_HEIGHT,
    mark: { type: 'line', strokeWidth: 2, point: { size: 36 } },
    encoding: {
      x: { field: 'qps', type: 'quantitative', title: 'operations/s' },
      y: {
        field: 'ms',
        type: 'quantitative',
        title: 'latency, ms',
        scale: { type: 'log' },
        axis: { values: POWERS_OF_TEN },
      },
      // By offered rate, not by x: throughput may fall again beyond saturation.
      order: { field: 'rate' },
      color: targetColour(distinctTargets(rows)),
      strokeDash: {
        field: 'percentile',
        type: 'nominal',
        sort: ['p99', 'p50'],
        scale: { domain: ['p99', 'p50'], range: [[], [5, 4]] },
        legend: null,
      },
    },
  });
}

/** Every target of `rows` once, known ones in the order of the theme. */
function distinctTargets(rows: readonly { readonly target: string }[]): string[] {
  const present = new Set(rows.map(({ target }) => target));
  const known = Object.keys(LIGHT.targets).filter((target) => present.has(target));
  return [...new Set([...known, ...present])];
}

function targetColour(targets: readonly string[]): object {
  const range = targets.map((target) => LIGHT.targets[target] ?? UNKNOWN_TARGET);
  return {
    field: 'target',
    type: 'nominal',
    scale: { domain: targets, range },
    legend: { title: null, symbolType: 'square' },
  };
}

async function render(chart: object): Promise<string> {
  const { background, ink, muted, grid } = LIGHT;
  const specification = {
    background,
    padding: 16,
    ...chart,
    config: {
      aria: false, // the page that embeds the image carries the alternative text
      font: 'system-ui, sans-serif',
      view: { stroke: null },
      title: { anchor: 'start', frame: 'group', color: ink, fontSize: 14, subtitleColor: muted, offset: 8 },
      axis: {
        domain: false,
        ticks: false,
        gridColor: grid,
        labelColor: muted,
        titleColor: muted,
        titleFontWeight: 'normal',
        labelPadding: 6,
      },
      header: { labelColor: ink, labelFontSize: 11 },
      legend: { orient: 'top', labelColor: ink, labelFontSize: 11, symbolSize: 90, offset: 10 },
    },
  } as TopLevelSpec;
  const view = new View(parse(compile(specification).spec), { renderer: 'none' });
  try {
    return `${withDarkTheme(await view.toSVG())}\n`;
  } finally {
    view.finalize();
  }
}

/** Adds a style sheet that exchanges the colours where the reader prefers a dark page. */
function withDarkTheme(svg: string): string {
  const pairs: [light: string, dark: string][] = [
    [LIGHT.background, DARK.background],
    [LIGHT.ink, DARK.ink],
    [LIGHT.muted, DARK.muted],
    [LIGHT.grid, DARK.grid],
    ...Object.entries(LIGHT.targets).map(([target, light]): [string, string] => [
      light,
      DARK.targets[target] ?? light,
    ]),
  ];
  const rules = pairs.map(
    ([light, dark]) => `[fill="${light}"]{fill:${dark}}[stroke="${light}"]{stroke:${dark}}`,
  );
  const style = `<style>@media (prefers-color-scheme: dark){${rules.join('')}}</style>`;
  return svg.replace(/<svg[^>]*>/, (tag) => `${tag}${style}`);
}
