// The behaviour of a stock Chroma server that the fake reproduces, observed on 1.0.5 and 1.3.4. real.chroma.test.ts
// asserts it of the release under test, fake.test.ts of the fake. The capabilities of a server tell releases apart.

import { FAILURES } from './failures.ts';
import { READS } from './reads.ts';
import { RECORDS, REFUSALS } from './records.ts';
import { SCHEMA } from './schema.ts';
import type { Behaviour } from './subject.ts';

export const BEHAVIOURS: readonly Behaviour[] = [...SCHEMA, ...RECORDS, ...READS, ...REFUSALS, ...FAILURES];
