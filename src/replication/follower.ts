// A node as the leader drives it.

import type { Admission } from '../nodes/admission.ts';
import type { NodeRegistry } from '../nodes/node-registry.ts';
import type { Node } from '../nodes/node.ts';
import type { Applier } from './applier.ts';

/** A node that follows the log, with what admits it and what applies the log to it. */
export interface Follower {
  readonly member: Node;
  readonly applier: Applier;
  readonly admission: Admission;
  /** Calls sent before this gateway knew the node in its present form may still be executed there. */
  readonly isReplacement: boolean;
}

export type Followers = Pick<NodeRegistry<Follower>, 'all' | 'counted' | 'changed' | 'runForEach'>;
