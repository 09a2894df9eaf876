// Traces by OpenTelemetry, exported by OTLP/HTTP.

import { AsyncLocalStorage } from 'node:async_hooks';
import {
  defaultTextMapGetter,
  defaultTextMapSetter,
  ROOT_CONTEXT,
  SpanKind,
  SpanStatusCode,
  trace,
  type Context,
  type Span,
  type Tracer as OpenTelemetryTracer,
} from '@opentelemetry/api';
import { W3CTraceContextPropagator } from '@opentelemetry/core';
import { OTLPTraceExporter } from '@opentelemetry/exporter-trace-otlp-http';
import { resourceFromAttributes } from '@opentelemetry/resources';
import {
  BatchSpanProcessor,
  ParentBasedSampler,
  TraceIdRatioBasedSampler,
  TracerProvider,
} from '@opentelemetry/sdk-trace';
import type { TracedWork, TraceHeaders, Tracer } from './tracer.ts';

export interface TracesOptions {
  /** Base URL of the receiver, such as http://collector:4318. */
  readonly endpoint: string;
  readonly serviceName: string;
  readonly instanceId: string;
  /** Share of the requests that are traced where their client does not decide it, 0 to 1. */
  readonly ratio: number;
}

export class OpenTelemetryTraces implements Tracer {
  readonly #provider: TracerProvider;
  readonly #tracer: OpenTelemetryTracer;
  readonly #propagator = new W3CTraceContextPropagator();
  /** The request that the code at work belongs to. */
  readonly #current = new AsyncLocalStorage<Context>();

  constructor({ endpoint, serviceName, instanceId, ratio }: TracesOptions) {
    const exporter = new OTLPTraceExporter({ url: `${endpoint.replace(/\/+$/, '')}/v1/traces` });
    // Not registered as the global provider: several gateways may run in one process.
    this.#provider = new TracerProvider({
      resource: resourceFromAttributes({ 'service.name': serviceName, 'service.instance.id': instanceId }),
      sampler: new ParentBasedSampler({ root: new TraceIdRatioBasedSampler(ratio) }),
      // It holds at most 2,048 spans and drops further ones: a receiver that is away costs no memory.
      spanProcessors: [new BatchSpanProcessor({ exporter })],
    });
    this.#tracer = this.#provider.getTracer('polychrome');
  }

  request<T>(
    work: TracedWork<T>,
    headers: Readonly<Record<string, string | string[] | undefined>>,
    run: () => Promise<T>,
  ): Promise<T> {
    const parent = this.#propagator.extract(ROOT_CONTEXT, headers, defaultTextMapGetter);
    return this.#trace(work, { kind: SpanKind.SERVER, parent }, run);
  }

  call<T>(
    work: TracedWork<T> & { readonly changes: boolean },
    run: (headers: TraceHeaders) => Promise<T>,
  ): Promise<T> {
    const current = this.#current.getStore();
    if (current === undefined && !work.changes) return run({});
    const parent = current ?? ROOT_CONTEXT;
    return this.#trace(work, { kind: SpanKind.CLIENT, parent }, (context) => {
      const headers: Record<string, string> = {};
      this.#propagator.inject(context, headers, defaultTextMapSetter);
      return run(headers);
    });
  }

  /** Sends what waits, and ends. */
  async stop(): Promise<void> {
    await this.#provider.shutdown();
  }

  async #trace<T>(
    { name, attributes, statusOf }: TracedWork<T>,
    { kind, parent }: { kind: SpanKind; parent: Context },
    run: (context: Context) => Promise<T>,
  ): Promise<T> {
    const span = this.#tracer.startSpan(name, { kind, attributes }, parent);
    const context = trace.setSpan(parent, span);
    try {
      const result = await this.#current.run(context, () => run(context));
      setStatus(span, statusOf(result), kind);
      return result;
    } catch (error) {
      // Not its message, which may quote what a client sent.
      span.setStatus({ code: SpanStatusCode.ERROR });
      span.setAttribute('error.type', error instanceof Error ? error.name : 'unknown');
      throw error;
    } finally {
      span.end();
    }
  }
}

function setStatus(span: Span, status: number | null, kind: SpanKind): void {
  if (status === null) return;
  span.setAttribute('http.response.status_code', status);
  // By convention a server is to blame for 500 and above only, a client for 400 and above.
  if (status >= (kind === SpanKind.SERVER ? 500 : 400)) span.setStatus({ code: SpanStatusCode.ERROR });
}
