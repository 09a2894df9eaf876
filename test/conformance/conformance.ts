// How a stock Chroma server behaves, as far as the fake promises to behave alike. Observed on 1.0.5 and 1.3.4; every
// behaviour is asserted of the release under test by real.test.ts, and of the fake by fake.test.ts. What differs by
// release is told apart by what a server says it can do.

import { FAILURES } from './failures.ts';
import { READS } from './reads.ts';
import { RECORDS, REFUSALS } from './records.ts';
import { SCHEMA } from './schema.ts';
import type { Behaviour } from './subject.ts';

export const BEHAVIOURS: readonly Behaviour[] = [...SCHEMA, ...RECORDS, ...READS, ...REFUSALS, ...FAILURES];
