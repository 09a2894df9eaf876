// What a node's server can do, found by asking it. Its version says nothing (every release answers "1.0.0" there),
// and trying things out would leave traces; but its own description of its API differs between releases exactly
// where its behaviour does. Compared with what 1.0.5 and 1.3.4 really accept.

import { z } from 'zod';
import type { NodeClient } from '../client/node-client.ts';
import { openApiPath, preflightPath } from './paths.ts';
import type { Capabilities } from '../parse/record-call.ts';

/** A server did not describe itself in a way that tells what it can do. */
export class CapabilitiesError extends Error {
  override readonly name = 'CapabilitiesError';
}

const preflightShape = z.object({
  max_batch_size: z.int().positive(),
  // Absent on releases before 1.0.5, which refuse base64.
  supports_base64_encoding: z.boolean().default(false),
});

const propertiesShape = z.object({ properties: z.record(z.string(), z.unknown()).default({}) });

const openApiShape = z.object({
  components: z.object({
    schemas: z.object({
      CreateCollectionPayload: propertiesShape,
      DeleteCollectionRecordsPayload: z.union([
        z.object({ allOf: z.array(propertiesShape.catch({ properties: {} })) }),
        propertiesShape.transform((only) => ({ allOf: [only] })),
      ]),
      // The type of metadata: what a value may be.
      HashMap: z.object({
        additionalProperties: z.object({ oneOf: z.array(z.object({ type: z.unknown() }).partial()) }),
      }),
    }),
  }),
});

/** Asks a server what it can do; two reads, each within `deadlineMs`. Throws NodeError, CapabilitiesError. */
export async function probeCapabilities(client: NodeClient, deadlineMs = 5000): Promise<Capabilities> {
  const preflight = await readJson(client, preflightPath, preflightShape, deadlineMs);
  const { schemas } = (await readJson(client, openApiPath, openApiShape, deadlineMs)).components;
  return {
    maxBatchSize: preflight.max_batch_size,
    base64Embeddings: preflight.supports_base64_encoding,
    metadataArrays: schemas.HashMap.additionalProperties.oneOf.some((value) => value.type === 'array'),
    deleteLimit: schemas.DeleteCollectionRecordsPayload.allOf.some((part) => 'limit' in part.properties),
    schema: 'schema' in schemas.CreateCollectionPayload.properties,
  };
}

/** What all of these servers can do; null for an empty list, of which nothing can be said. */
export function minimumCapabilities(list: readonly Capabilities[]): Capabilities | null {
  if (list.length === 0) return null;
  return {
    maxBatchSize: Math.min(...list.map((one) => one.maxBatchSize)),
    base64Embeddings: list.every((one) => one.base64Embeddings),
    metadataArrays: list.every((one) => one.metadataArrays),
    deleteLimit: list.every((one) => one.deleteLimit),
    schema: list.every((one) => one.schema),
  };
}

async function readJson<Shape extends z.ZodType>(
  client: NodeClient,
  path: string,
  shape: Shape,
  deadlineMs: number,
): Promise<z.infer<Shape>> {
  const answer = await client.read({ method: 'GET', path, deadlineMs });
  if (answer.status !== 200) {
    throw new CapabilitiesError(`${path} was answered with status ${answer.status}`);
  }
  try {
    return shape.parse(JSON.parse(answer.body.toString()));
  } catch (cause) {
    throw new CapabilitiesError(`${path} does not describe a server we know`, { cause });
  }
}
