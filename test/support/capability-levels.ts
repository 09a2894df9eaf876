// Capabilities of real servers, as capabilities.ts probes them.

import type { Capabilities } from '../../src/chroma/protocol/capabilities.ts';

export const CHROMA_1_0_5: Capabilities = {
  maxBatchSize: 5_461,
  base64Embeddings: true,
  metadataArrays: false,
  deleteLimit: false,
  schema: false,
};
