// Work that keeps a server busy for seconds, and a primary that fails one collection: other collections are read and
// written all along, and each call is executed once. `npm run drills` drills larger loads.

import { drillTests, named } from '../drills/drill-tests.ts';
import { documentsCall, SCENARIOS } from '../drills/scenarios.ts';

drillTests([
  { name: 'A-8', about: 'an upsert of 8 MiB of documents', run: documentsCall(8) },
  ...named(SCENARIOS, ['E']),
]);
