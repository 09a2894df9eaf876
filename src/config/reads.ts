// Settings of reads.

import { z } from 'zod';
import { list, oneOf, ratio, setting, wholeNumber } from './setting.ts';

const PRIORITY = /^\s*([a-z0-9][a-z0-9-]{0,62})=(\d{1,6})\s*$/;

/** `id=number,id=number` as a map. */
const priorities: z.ZodType<ReadonlyMap<string, number>> = z.string().transform((value, context) => {
  const pairs = value.split(',').filter((part) => part.trim() !== '');
  const found = pairs.map((part) => PRIORITY.exec(part));
  if (found.includes(null))
    context.addIssue('must be id=priority pairs separated by commas, with priorities from 0 to 999999');
  return new Map(found.map((pair) => [pair?.[1] ?? '', Number(pair?.[2])]));
});

export const READ_SETTINGS = {
  CONSISTENCY: setting(
    oneOf('strong', 'session', 'bounded', 'eventual').optional(),
    null,
    'What a read must see: every write that any gateway acknowledged before it (`strong`), those of this gateway (`session`), all older than BOUNDED_LAG_MS (`bounded`), or the state of any node (`eventual`); `x-polychrome-consistency` sets it for one request. Unset: `session` while one gateway is registered, which then sees every write; `strong` while there are several.',
  ),
  BOUNDED_LAG_MS: setting(
    wholeNumber(1, 3_600_000),
    '1000',
    'How old the state may be that a read of level `bounded` sees; the header `x-polychrome-consistency: bounded=250` sets it for one request.',
  ),
  LOAD_BALANCE_STRATEGY: setting(
    oneOf(
      'least_loaded',
      'latency_based',
      'local_first',
      'round_robin',
      'random',
      'priority',
      'primary_only',
      'write_primary',
      'optimized_read_replica',
    ),
    'least_loaded',
    'Which of the nodes that can serve a read gets it ([strategies](operations.md#read-strategies)).',
  ),
  READ_REPLICA_RATIO: setting(
    ratio(),
    '0.8',
    'Share of reads that go to replicas under the strategies `write_primary` and `optimized_read_replica`; the others go to the primary.',
  ),
  NODE_PRIORITIES: setting(
    priorities,
    '',
    'Preference of nodes: `id=100,id=50`; higher is preferred, a node that is not named has 0. The preferred one of the serving nodes becomes primary when the primary fails, and gets the reads under the strategy `priority`.',
  ),
  LOCAL_NODES: setting(
    list,
    '',
    'Ids of the nodes that are near this gateway, for the strategy `local_first`; separated by commas.',
  ),
  READ_RETRY_RATIO: setting(
    ratio(),
    '0.2',
    'Repeated reads for each read in the long run, on top of a reserve of 1,000; beyond both, a read that fails on a node is not sent to another. 0: never.',
  ),
  READ_VERIFY_RATIO: setting(
    ratio(),
    '0',
    'Share of gets whose response is compared with that of another node, after it was sent; a difference starts a comparison of the collection.',
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
  FILTER_PATTERN_BYTES_MAX: setting(
    wholeNumber(1, 49_998),
    '49998',
    'UTF-8 bytes of one text in `where_document`, with `_`, `%` and `\\` counted twice. Chroma responds with 500 above 49,998.',
  ),
} as const;
