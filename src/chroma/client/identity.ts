// Who a node is and how far it came, as its marker says: the metadata of one collection in a tenant that clients never
// see. Pure: reading and writing it is in nodes/marker.ts.

import { z } from 'zod';
import { collectionByNamePath, type DatabaseName } from '../protocol/paths.ts';

/** The tenant and database that belong to Polychrome on every node; hidden from clients and refused to them. */
export const RESERVED: DatabaseName = { tenant: 'polychrome', database: 'polychrome' };

export const MARKER_COLLECTION = 'marker';

/** Where the marker is read, relative to the node's base path. */
export const MARKER_PATH = collectionByNamePath(RESERVED, MARKER_COLLECTION);

/** Who a node is. A node rebuilt from nothing gets a new incarnation. */
export interface Identity {
  readonly cluster: string;
  readonly node: string;
  readonly incarnation: string;
}

/** Who must answer at a node's address. */
export interface Expected extends Identity {
  /** The LSN its marker is known to have held: less means that the node has travelled back in time (I12). */
  readonly markerLSN?: number;
}

/** How far a node came: the log it follows, its checkpoint there, and the token of the entry at that LSN. */
export interface Progress {
  readonly log: string;
  /** An LSN. */
  readonly checkpoint: number;
  readonly token: string;
}

export interface Marker extends Identity {
  /** Null until the node has followed a log. */
  readonly progress: Progress | null;
}

/** The marker as it stands on a node, under the id this node gave its collection. */
export interface StoredMarker {
  readonly physicalId: string;
  readonly marker: Marker;
}

/** True when both name the same cluster, node and incarnation. */
export function sameIdentity(a: Identity, b: Identity): boolean {
  return a.cluster === b.cluster && a.node === b.node && a.incarnation === b.incarnation;
}

/** The marker in a collection object's bytes; null when it has none. Throws when it is not such an object. */
export function markerIn(collection: Buffer): Marker | null {
  return storedMarkerIn(collection)?.marker ?? null;
}

const identityShape = z.object({ cluster: z.string(), node: z.string(), incarnation: z.string() });
const progressShape = z.object({ log: z.string(), checkpoint: z.int(), token: z.string() });

/** The marker in a collection object's bytes, with that collection's id; null when it has none. Throws when it is not such an object. */
export function storedMarkerIn(collection: Buffer): StoredMarker | null {
  const shape = z.object({ id: z.string(), metadata: z.unknown() });
  const { id, metadata } = shape.parse(JSON.parse(collection.toString()));
  const identity = identityShape.safeParse(metadata).data;
  if (identity === undefined) return null;
  const progress = progressShape.safeParse(metadata).data ?? null;
  return { physicalId: id, marker: { ...identity, progress } };
}
