// A node's identity and progress, and how they are stored in its marker: the metadata of a collection in the reserved tenant.

import { z } from 'zod';
import { collectionByNamePath, type DatabaseName } from '../protocol/paths.ts';

/** Polychrome's own tenant and database on every node; hidden from clients and refused to them. */
export const RESERVED: DatabaseName = { tenant: 'polychrome', database: 'polychrome' };

export const MARKER_COLLECTION = 'marker';

/** Path of the marker, relative to the node's base path. */
export const MARKER_PATH = collectionByNamePath(RESERVED, MARKER_COLLECTION);

/** A node that is rebuilt from nothing gets a new incarnation. */
export interface Identity {
  readonly cluster: string;
  readonly node: string;
  readonly incarnation: string;
}

/**
 * Why a server with this identity, or without one, must not be used; null when it may. Who is to be emptied has no identity
 * that could be expected, and its address may meanwhile be another server's.
 */
export type Refuses = (found: Identity | null) => string | null;

/** What connections to a node go by. */
export interface NodeIdentity {
  /** Null while the node has none. */
  expected: Identity | null;
  /** While it has none: whose content may be changed. */
  refuses: Refuses;
}

/** The identity that a node must prove. */
export interface Expected extends Identity {
  /** LSN that its marker is known to have held; a lower one means that the node has older content (I12). */
  readonly markerLSN?: number;
}

/** The log that a node follows, its checkpoint, and the token of the entry at that LSN. */
export interface LogProgress {
  readonly log: string;
  /** An LSN. */
  readonly checkpoint: number;
  readonly token: string;
}

export interface Marker extends Identity {
  /** Null until the node has followed a log. */
  readonly progress: LogProgress | null;
  /** Number of the last copy of a shard that is complete on the node. */
  readonly copies: number;
  /** With which a copy here became suspect last: a gateway that knows only an older view does not know of that (R17). */
  readonly view: number;
  /** Of the last term whose leader reached the node: a gateway that does not know this term is not the only gateway (R17). */
  readonly epoch: number;
}

/** The marker with which a node begins. */
export function newMarker(identity: Identity, progress: LogProgress | null = null): Marker {
  return { ...identity, progress, copies: 0, view: 0, epoch: 0 };
}

/** A marker, with the id that the node gave its collection. */
export interface StoredMarker {
  readonly physicalId: string;
  readonly marker: Marker;
}

/** Whether both name the same cluster, node and incarnation. */
export function sameIdentity(a: Identity, b: Identity): boolean {
  return a.cluster === b.cluster && a.node === b.node && a.incarnation === b.incarnation;
}

/** The marker in the bytes of a collection object; null when it has none. Throws for other bytes. */
export function markerIn(collection: Buffer): Marker | null {
  return storedMarkerIn(collection)?.marker ?? null;
}

// Compiled once: markers are read with every connection and probe.
const collectionShape = z.object({ id: z.string(), metadata: z.unknown() });
const identityShape = z.object({ cluster: z.string(), node: z.string(), incarnation: z.string() });
const copiesShape = z.object({ copies: z.int() });
const viewShape = z.object({ view: z.int() });
const epochShape = z.object({ epoch: z.int() });
const progressShape = z.object({ log: z.string(), checkpoint: z.int(), token: z.string() });

/** As markerIn, with the collection's id. */
export function storedMarkerIn(collection: Buffer): StoredMarker | null {
  const { id, metadata } = collectionShape.parse(JSON.parse(collection.toString()));
  const identity = identityShape.safeParse(metadata).data;
  if (identity === undefined) return null;
  const progress = progressShape.safeParse(metadata).data ?? null;
  const copies = copiesShape.safeParse(metadata).data?.copies ?? 0;
  const view = viewShape.safeParse(metadata).data?.view ?? 0;
  const epoch = epochShape.safeParse(metadata).data?.epoch ?? 0;
  return { physicalId: id, marker: { ...identity, progress, copies, view, epoch } };
}
