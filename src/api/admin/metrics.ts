// GET /metrics: in the text format of Prometheus, or as JSON with the fields that older dashboards read.

import type { Exposition } from '../../observability/exposition.ts';
import type { MetricSample } from '../../observability/metrics-registry.ts';
import type { ResourceUsage } from '../../observability/resources.ts';
import { jsonResponse, type WholeResponse } from '../../http/response.ts';
import type { AdminRoute } from './routes.ts';

export interface MetricsSource {
  readonly exposition: Pick<Exposition, 'text' | 'contentType'>;
  readonly snapshot: () => Readonly<Record<string, MetricSample>>;
  readonly resources: () => ResourceUsage;
  readonly now: () => number;
}

interface MetricsJson {
  readonly memory_usage_mb: number;
  readonly memory_percent: number;
  readonly cpu_percent: number;
  /** ISO 8601. */
  readonly timestamp: string;
  readonly container: ResourceUsage['container'];
  readonly metrics: Readonly<Record<string, MetricSample>>;
}

/** Open to every client, like /status. */
export function metricsRoutes(source: MetricsSource): readonly AdminRoute[] {
  const text = async (): Promise<WholeResponse> => ({
    status: 200,
    body: await source.exposition.text(),
    headers: { 'content-type': source.exposition.contentType },
  });
  return [
    {
      method: 'GET',
      path: '/metrics',
      handle: async ({ headers }) =>
        wantsJson(headers.accept) ? jsonResponse(metricsJsonOf(source)) : await text(),
    },
    { method: 'GET', path: '/metrics.json', handle: async () => jsonResponse(metricsJsonOf(source)) },
  ];
}

/** Prometheus names its own formats, and browsers any type: both get text. */
function wantsJson(accept: string | undefined): boolean {
  return /^\s*application\/json\b/i.test(accept ?? '');
}

function metricsJsonOf({ snapshot, resources, now }: MetricsSource): MetricsJson {
  const { process, container } = resources();
  return {
    memory_usage_mb: Math.round((10 * process.memoryBytes) / 1_048_576) / 10,
    memory_percent: process.memoryPercent,
    cpu_percent: process.cpuPercent,
    timestamp: new Date(now()).toISOString(),
    container,
    metrics: snapshot(),
  };
}
