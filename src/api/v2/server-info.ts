// The handlers of what a Chroma server reports about itself; they need no node.

import type { Capabilities } from '../../chroma/protocol/capabilities.ts';
import type { Clock } from '../../util/clock.ts';
import { jsonResponse } from '../../http/response.ts';
import type { Handler } from '../../http/router.ts';

export interface LocalRoutesOptions {
  readonly capabilities: () => Capabilities;
  readonly clock: Clock;
}

export function localRoutes({ capabilities, clock }: LocalRoutesOptions): {
  heartbeat: Handler;
  healthcheck: Handler;
  version: Handler;
  preflight: Handler;
  identity: Handler;
} {
  return {
    // Built as text: a number of 19 digits exceeds what a JavaScript number holds exactly.
    heartbeat: async () => ({
      status: 200,
      body: `{"nanosecond heartbeat":${BigInt(clock.now()) * 1_000_000n}}`,
    }),
    healthcheck: async () => jsonResponse({ is_executor_ready: true, is_log_client_ready: true }),
    // Every release responds with this (docs/chroma-behaviour.md#routes).
    version: async () => jsonResponse('1.0.0'),
    preflight: async () => {
      const { maxBatchSize, base64Embeddings } = capabilities();
      return jsonResponse({ max_batch_size: maxBatchSize, supports_base64_encoding: base64Embeddings });
    },
    identity: async () =>
      jsonResponse({ user_id: '', tenant: 'default_tenant', databases: ['default_database'] }),
  };
}
