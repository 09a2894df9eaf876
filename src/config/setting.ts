// One setting: its schema, default and description; and the schemas that several groups of settings share.

import { z } from 'zod';

export interface Setting<T> {
  readonly schema: z.ZodType<T>;
  /** As text, the way it would be set; null: no default. */
  readonly default: string | null;
  /** What the setting changes, and the reason for its default; shown in docs/configuration.md. */
  readonly about: string;
}

/** The values of a group of settings, once parsed. */
export type ValuesOf<Group> = {
  readonly [Name in keyof Group]: Group[Name] extends Setting<infer T> ? T : never;
};

export function setting<T>(schema: z.ZodType<T>, fallback: string | null, about: string): Setting<T> {
  return { schema, default: fallback, about };
}

export const text: z.ZodType<string> = z.string().min(1);

export const flag: z.ZodType<boolean> = z
  .enum(['true', 'false'], 'must be true or false')
  .transform((value) => value === 'true');

/** Values separated by commas. */
export const list: z.ZodType<string[]> = z.string().transform((value) =>
  value
    .split(',')
    .map((part) => part.trim())
    .filter((part) => part !== ''),
);

export function url(...protocols: string[]): z.ZodType<string> {
  return z
    .string()
    .refine(
      (value) => URL.canParse(value) && protocols.includes(new URL(value).protocol),
      `must be a URL that begins with ${protocols.map((protocol) => `${protocol}//`).join(' or ')}`,
    );
}

export function wholeNumber(min: number, max: number): z.ZodType<number> {
  return z
    .string()
    .regex(/^\d{1,15}$/, `must be a whole number from ${min} to ${max}`)
    .transform(Number)
    .refine((value) => value >= min && value <= max, `must be a whole number from ${min} to ${max}`);
}

/** A number from 0 to 1, with at most three decimals. */
export function ratio(): z.ZodType<number> {
  return z
    .string()
    .regex(/^(?:0(?:\.\d{1,3})?|1(?:\.0{1,3})?)$/, 'must be a number from 0 to 1, such as 0.8')
    .transform(Number);
}

const UNIT_MS: Readonly<Record<string, number>> = { s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 };

/** A duration with its unit, in ms. */
export function duration(): z.ZodType<number> {
  return z
    .string()
    .regex(/^[1-9]\d{0,5}[smhd]$/, 'must be a duration such as 90s, 30m, 72h or 7d')
    .transform((value) => Number(value.slice(0, -1)) * (UNIT_MS[value.slice(-1)] ?? 0));
}

export function oneOf<T extends string>(...values: readonly [T, ...T[]]): z.ZodType<T> {
  return z.enum(values, `must be one of ${values.join(', ')}`);
}
