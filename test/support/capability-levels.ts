// Capabilities of real servers, as capabilities.ts probes them.

import type { Capabilities, CommonCapabilities } from '../../src/chroma/protocol/capabilities.ts';

export const CHROMA_1_0_5: Capabilities = {
  maxBatchSize: 5_461,
  base64Embeddings: true,
  metadataArrays: false,
  deleteLimit: false,
  schema: false,
};

export const COMMON_1_0_5: CommonCapabilities = { ...CHROMA_1_0_5, revision: 0 };

/** As a newer server. */
export const WITH_ARRAYS: Capabilities = { ...CHROMA_1_0_5, metadataArrays: true };
