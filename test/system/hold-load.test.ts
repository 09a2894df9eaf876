// Work that keeps a server busy for seconds, and a primary that fails one collection: other collections are read and
// written all along, and each call is executed once. `npm run hold` drills larger loads.

import { drillTests, named } from '../hold/drill-tests.ts';
import { SCENARIOS } from '../hold/scenarios.ts';

drillTests(named(SCENARIOS, ['A', 'E']));
