// What Chroma servers can do, as far as it differs between releases.

import { z } from 'zod';
import type { BodyCapabilities } from '../parse/record-call.ts';

/** Of one server, or of the least capable server of a cluster. */
export interface Capabilities extends BodyCapabilities {
  /** Whether a collection can be created with a schema. */
  readonly schema: boolean;
}

/** What every node of a cluster can do. */
export interface CommonCapabilities extends Capabilities {
  /** Rises whenever the level is lowered: what was validated under an earlier one is not appended (R19). */
  readonly revision: number;
}

/** A server's description of itself does not tell what it can do. */
export class CapabilitiesError extends Error {
  override readonly name = 'CapabilitiesError';
}

const preflightShape = z.object({
  max_batch_size: z.int().positive(),
  // Absent on releases before 1.0.5, which reject base64.
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

/**
 * Reads the capabilities from a server's responses to `preflightPath` and `openApiPath`. A server's version does not
 * tell them ("1.0.0" in every release) and trying would leave traces, but the description of the API differs between
 * releases where the behaviour does (compared with what 1.0.5 and 1.3.4 accept). Throws CapabilitiesError.
 */
export function capabilitiesFrom(preflightBody: Buffer, openApiBody: Buffer): Capabilities {
  const preflight = parseWith(preflightShape, preflightBody, 'pre-flight checks');
  const { schemas } = parseWith(openApiShape, openApiBody, 'API description').components;
  return {
    maxBatchSize: preflight.max_batch_size,
    base64Embeddings: preflight.supports_base64_encoding,
    metadataArrays: schemas.HashMap.additionalProperties.oneOf.some((value) => value.type === 'array'),
    deleteLimit: schemas.DeleteCollectionRecordsPayload.allOf.some((part) => 'limit' in part.properties),
    schema: 'schema' in schemas.CreateCollectionPayload.properties,
  };
}

/** What all of these servers can do; null for an empty list. */
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

function parseWith<Shape extends z.ZodType>(shape: Shape, body: Buffer, what: string): z.infer<Shape> {
  try {
    return shape.parse(JSON.parse(body.toString()));
  } catch (cause) {
    throw new CapabilitiesError(`cannot read the server's ${what}`, { cause });
  }
}
