// Settings of the caches.

import { setting, wholeNumber } from './setting.ts';

export const CACHE_SETTINGS = {
  RESULT_CACHE_BYTES: setting(
    wholeNumber(0, 68_719_476_736),
    '16777216',
    'Responses to reads cached in memory, each served until an entry invalidates it; 0 turns the cache off.',
  ),
  RECORD_CACHE_BYTES: setting(
    wholeNumber(0, 68_719_476_736),
    '33554432',
    'Documents and metadatas cached in memory, so that queries need not read them from nodes; a collection that fits is preloaded when queries miss the cache. 0 turns the cache off.',
  ),
} as const;
