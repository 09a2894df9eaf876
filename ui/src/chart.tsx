// A time series: uPlot with a legend that shows the values under the cursor, or else the last ones.

import { useEffect, useRef, useState } from 'preact/hooks';
import uPlot from 'uplot';
import { timeText } from './format.ts';
import { colorOf, useColorChange } from './theme.ts';

export interface Series {
  readonly label: string;
  /** Name of a custom property. */
  readonly color: string;
  readonly values: readonly (number | null)[];
}

export interface ChartProps {
  readonly title: string;
  readonly unit: string;
  /** Unix times in seconds, one for each value. */
  readonly times: readonly number[];
  readonly series: readonly Series[];
  /** Whether a node was out of service at each time. */
  readonly outages: readonly boolean[];
  readonly format: (value: number | null) => string;
  /** The axis shows at least this much. */
  readonly least?: number;
}

const HEIGHT = 132;
// More would be taller than the plot; those with the largest values are named.
const LEGEND_MAX = 4;

export function Chart({ title, unit, times, series, outages, format, least = 1 }: ChartProps) {
  const [cursor, setCursor] = useState<number | null>(null);
  const box = useRef<HTMLDivElement>(null);
  usePlot(box, { times, series, outages, format, least, setCursor });
  const at = cursor ?? times.length - 1;
  const shown = series.map(({ label, color, values }) => {
    const value = values[at] ?? null;
    return { label, color, value, text: format(value) };
  });
  const named =
    shown.length > LEGEND_MAX
      ? [...shown].sort((a, b) => (b.value ?? 0) - (a.value ?? 0)).slice(0, LEGEND_MAX)
      : shown;
  const time = times[at];
  const spoken = shown.map(({ label, text }) => `${label} ${text}`).join(', ');
  return (
    <figure class="chart panel">
      <figcaption>
        <h3>{title}</h3>
        <span class="unit">{unit}</span>
        <span class="chart-time">{cursor === null || time === undefined ? '' : timeText(time * 1_000)}</span>
      </figcaption>
      <div ref={box} class="plot" role="img" aria-label={`${title}, ${unit}: ${spoken}`} />
      <ul class="legend">
        {named.map(({ label, color, text }) => (
          <li key={label}>
            <i class="swatch" style={{ background: `var(--${color})` }} />
            <span class="legend-label">{label}</span>
            <b class="number">{text}</b>
          </li>
        ))}
        {named.length === shown.length ? null : (
          <li class="legend-label">{shown.length - named.length} more</li>
        )}
      </ul>
    </figure>
  );
}

type Plotted = Pick<ChartProps, 'times' | 'series' | 'outages' | 'format'> & {
  readonly least: number;
  readonly setCursor: (at: number | null) => void;
};

/** Keeps a plot in `box`: made anew when the series or colours change, else given new values. */
function usePlot(box: { readonly current: HTMLDivElement | null }, plotted: Plotted): void {
  const plot = useRef<uPlot | null>(null);
  const latest = useRef(plotted);
  latest.current = plotted;
  const colors = useColorChange();
  const key = plotted.series.map(({ label, color }) => `${label}:${color}`).join();
  useEffect(() => {
    if (box.current === null) return undefined;
    const element = box.current;
    const made = new uPlot(optionsOf(latest, element.clientWidth), dataOf(latest.current), element);
    plot.current = made;
    const observer = new ResizeObserver(() => made.setSize({ width: element.clientWidth, height: HEIGHT }));
    observer.observe(element);
    return () => {
      observer.disconnect();
      made.destroy();
      plot.current = null;
    };
  }, [key, colors]);
  useEffect(() => plot.current?.setData(dataOf(plotted)), [plotted.times, plotted.series]);
}

// The first series is drawn last, above the others.
const dataOf = ({ times, series }: Plotted): uPlot.AlignedData => [
  [...times],
  ...series.toReversed().map(({ values }) => [...values]),
];

function optionsOf(latest: { readonly current: Plotted }, width: number): uPlot.Options {
  const [text, grid] = [colorOf('muted'), colorOf('grid')];
  const font = '11px Inter, system-ui, sans-serif';
  const line = { stroke: grid, width: 1 };
  const axis = { stroke: text, font, grid: line, ticks: { show: false } };
  return {
    width,
    height: HEIGHT,
    padding: [8, 4, 0, 0],
    legend: { show: false },
    cursor: { sync: { key: 'time' }, points: { size: 6 }, drag: { x: false, y: false }, y: false },
    scales: { y: { range: (_plot, _min, max) => [0, Math.max(latest.current.least, max * 1.1)] } },
    axes: [
      { ...axis, space: 72, size: 24, gap: 6, incrs: TIME_STEPS, values: timesOf },
      {
        ...axis,
        size: 44,
        gap: 4,
        space: 28,
        values: (_plot, splits) => splits.map((value) => latest.current.format(value)),
      },
    ],
    series: [
      {},
      ...latest.current.series.toReversed().map(({ label, color }) => ({
        label,
        stroke: colorOf(color),
        width: 1.5,
        points: { show: false },
      })),
    ],
    hooks: {
      drawClear: [(plot) => drawOutages(plot, latest.current)],
      setCursor: [({ cursor }) => latest.current.setCursor(cursor.idx ?? null)],
    },
  };
}

const DAY_SECONDS = 86_400;
const HOUR_SECONDS = 3_600;
/** Distances of labels, in seconds. */
const TIME_STEPS = [
  1,
  5,
  15,
  30,
  60,
  120,
  300,
  900,
  1_800,
  ...[1, 2, 3, 6, 12].map((hours) => hours * HOUR_SECONDS),
  ...[1, 2, 7].map((days) => days * DAY_SECONDS),
];
// Half of a label: nearer to an edge it would be cut off, or cover the other axis.
const EDGE_PIXELS = 24;

function timesOf(plot: uPlot, splits: number[]): string[] {
  const { min = 0, max = 0 } = plot.scales['x'] ?? {};
  const span = (max ?? 0) - (min ?? 0);
  return splits.map((seconds) => {
    const date = new Date(seconds * 1_000);
    const position = plot.valToPos(seconds, 'x');
    if (position < EDGE_PIXELS || position > plot.over.clientWidth - EDGE_PIXELS) return '';
    if (span > 2 * DAY_SECONDS) return date.toLocaleDateString('sv-SE').slice(5);
    const time = date.toLocaleTimeString('en-GB');
    return span > 1_800 ? time.slice(0, 5) : time;
  });
}

/** Shades the times in which a node was out of service. */
function drawOutages(plot: uPlot, { times, outages }: Plotted): void {
  const { ctx, bbox } = plot;
  ctx.save();
  ctx.fillStyle = colorOf('outage');
  for (let at = 0; at < times.length; at++) {
    if (outages[at] !== true) continue;
    let end = at;
    while (outages[end + 1] === true) end++;
    const left = plot.valToPos(times[at] ?? 0, 'x', true);
    const right = plot.valToPos(times[Math.min(end + 1, times.length - 1)] ?? 0, 'x', true);
    ctx.fillRect(left, bbox.top, Math.max(2, right - left), bbox.height);
    at = end;
  }
  ctx.restore();
}
