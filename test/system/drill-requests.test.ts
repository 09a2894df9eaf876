// Single requests that once stopped a cluster for good: filters beyond what servers take, long ids, empty results, a
// delete of more ids than one call holds. Nothing else notices them. `npm run drills` drills more of each kind.

import { drillTests, named } from '../drills/drill-tests.ts';
import { deletionOf, SCENARIOS } from '../drills/scenarios.ts';

drillTests([
  ...named(SCENARIOS, ['F', 'B', 'C', 'G']),
  { name: 'delete-8000', about: 'a delete of 8,000 ids', run: deletionOf(8_000) },
]);
