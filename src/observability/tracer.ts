// What requests and calls to nodes are traced through; opentelemetry.ts implements it, and is loaded only when traces are
// sent somewhere.

export interface TracedWork<T> {
  /** Of few values, such as a route. */
  readonly name: string;
  readonly attributes: Readonly<Record<string, string>>;
  /** HTTP status of the result; null when it is not known yet. */
  readonly statusOf: (result: T) => number | null;
}

/** Headers that carry the position in a trace from one process to the next. */
export type TraceHeaders = Readonly<Record<string, string>>;

export interface Tracer {
  /** Traces a request of a client, as a part of the trace that its headers name. */
  request<T>(
    work: TracedWork<T>,
    headers: Readonly<Record<string, string | string[] | undefined>>,
    run: () => Promise<T>,
  ): Promise<T>;
  /**
   * Traces a call to a node, as a part of the request that causes it; `run` sends these headers. A call that no request
   * causes is traced only when it changes something: probes would drown everything else.
   */
  call<T>(
    work: TracedWork<T> & { readonly changes: boolean },
    run: (headers: TraceHeaders) => Promise<T>,
  ): Promise<T>;
}
