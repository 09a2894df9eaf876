// Numbers, sizes, durations and times as the dashboard shows them.

const COUNT = new Intl.NumberFormat('en-US', { maximumFractionDigits: 0 });

const NONE = '–';

export function countText(value: number | null): string {
  return value === null ? NONE : COUNT.format(value);
}

/** Three significant digits at most, thousands as k: for axes and rates. */
export function shortText(value: number | null): string {
  if (value === null) return NONE;
  const size = Math.abs(value);
  if (size >= 999_500) return `${trimmed(value / 1e6)}M`;
  if (size >= 9_995) return `${trimmed(value / 1e3)}k`;
  if (size >= 99.5) return COUNT.format(value);
  return trimmed(value);
}

function trimmed(value: number): string {
  const size = Math.abs(value);
  const digits = size >= 99.5 || value === 0 ? 0 : size >= 9.95 ? 1 : 2;
  return digits === 0 ? value.toFixed(0) : value.toFixed(digits).replace(/\.?0+$/, '');
}

export function millisText(ms: number | null): string {
  if (ms === null) return NONE;
  if (ms >= 1_000) return `${trimmed(ms / 1_000)} s`;
  return `${trimmed(ms)} ms`;
}

const BYTE_UNITS = ['B', 'KiB', 'MiB', 'GiB', 'TiB'];

export function bytesText(bytes: number | null): string {
  if (bytes === null) return NONE;
  let [value, unit] = [bytes, 0];
  while (value >= 1_024 && unit < BYTE_UNITS.length - 1) [value, unit] = [value / 1_024, unit + 1];
  return `${trimmed(value)} ${BYTE_UNITS[unit]}`;
}

/** In the largest unit that gives a whole number above zero. */
export function durationText(ms: number): string {
  const seconds = Math.max(0, ms) / 1_000;
  if (seconds < 120) return `${Math.round(seconds)} s`;
  if (seconds < 7_200) return `${Math.round(seconds / 60)} min`;
  return seconds < 172_800 ? `${Math.round(seconds / 3_600)} h` : `${Math.round(seconds / 86_400)} d`;
}

/** The time of this day, with the date for other days. */
export function timeText(at: number | string, now = Date.now()): string {
  const date = new Date(at);
  const time = date.toLocaleTimeString('en-GB');
  return date.toDateString() === new Date(now).toDateString()
    ? time
    : `${date.toLocaleDateString('sv-SE')} ${time}`;
}

export function pluralText(count: number, one: string, many = `${one}s`): string {
  return `${countText(count)} ${count === 1 ? one : many}`;
}
