// Traces of requests, when OTEL_EXPORTER_OTLP_ENDPOINT says where to send them.

import { createNodeClient, createUnverifiedNodeClient } from '../chroma/client/node-client.ts';
import { tracedClient } from '../chroma/client/traced-client.ts';
import type { Config } from '../config/config.ts';
import type { Tracer } from '../observability/tracer.ts';
import type { Deps, NodeConnections } from './deps.ts';
import type { Lifecycle } from './lifecycle.ts';

/** `deps` with a tracer, and connections that use it; as they are when nothing is traced: then nothing is loaded either. */
export async function withTraces(config: Config, deps: Deps, life: Lifecycle): Promise<Deps> {
  const endpoint = config.OTEL_EXPORTER_OTLP_ENDPOINT;
  if (endpoint === undefined) return deps;
  const { OpenTelemetryTraces } = await import('../observability/opentelemetry.ts');
  const traces = new OpenTelemetryTraces({
    endpoint,
    serviceName: config.OTEL_SERVICE_NAME,
    instanceId: deps.gatewayId,
    ratio: config.OTEL_TRACES_SAMPLER_ARG,
  });
  life.add({
    name: 'traces',
    // A receiver that is away is no failure of the stop.
    stop: () => traces.stop().catch(() => undefined),
  });
  return { ...deps, tracer: traces, connections: tracedConnections(traces) };
}

/** Connections to nodes whose calls are traced. */
function tracedConnections(tracer: Tracer): NodeConnections {
  return {
    verified: (options) => tracedClient(createNodeClient(options), tracer),
    unverified: (options) => tracedClient(createUnverifiedNodeClient(options), tracer),
  };
}
