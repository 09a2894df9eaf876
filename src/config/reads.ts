// Settings of reads.

import { oneOf, setting, wholeNumber } from './setting.ts';

export const READ_SETTINGS = {
  CONSISTENCY: setting(
    oneOf('session', 'eventual'),
    'session',
    'What a read must see: every write this gateway acknowledged (`session`), or the state of any node (`eventual`); `x-polychrome-consistency` sets it for one request.',
  ),
  READ_TIMEOUT_MS: setting(
    wholeNumber(100, 600_000),
    '60000',
    'How long a read may take in all, including the wait for a node that has applied enough of the log.',
  ),
  FILTER_CONDITIONS_MAX: setting(
    wholeNumber(1, 950),
    '900',
    'Conditions of `where` and `where_document` in one request, each `$and` and `$or` counted as one. Chroma responds with 500 from about 980 on, and its process ends from 5,000 to 10,000 on.',
  ),
  FILTER_OPERANDS_MAX: setting(
    wholeNumber(1, 32_760),
    '32700',
    'SQL variables that `ids`, `where` and `where_document` of one request need: 1 for each id and each string or boolean of a list, 2 for each number of a list, 4 for each condition of `where`, 1 for each of `where_document`. Chroma responds with 500 above 32,763.',
  ),
  FILTER_DEPTH_MAX: setting(
    wholeNumber(0, 62),
    '62',
    'Levels of `$and` and `$or` around a condition. Chroma cannot parse more than 62.',
  ),
} as const;
