// The same at the points where only the primary can decide, and where a node is marked.

import { DECIDING_POINTS, killedAtEach } from '../support/crash-points.ts';

killedAtEach(DECIDING_POINTS);
