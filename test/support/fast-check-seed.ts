// Gives each property test of the project unit a fixed seed, so that a run fails only when the code has changed.
// FAST_CHECK_SEED sets another seed; `random` leaves the choice to fast-check.

import fc from 'fast-check';

const given = process.env['FAST_CHECK_SEED'] ?? '1';
const seed = Number(given);
if (given !== 'random') {
  if (!Number.isInteger(seed) || given === '')
    throw new Error('FAST_CHECK_SEED must be an integer or "random"');
  fc.configureGlobal({ ...fc.readConfigureGlobal(), seed });
}
