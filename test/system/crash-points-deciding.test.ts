// kill -9 of the gateway at the named points of decisions and markers.

import { DECIDING_POINTS, killedAtEach } from '../support/crash-points.ts';

killedAtEach(DECIDING_POINTS);
