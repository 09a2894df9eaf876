// Cross-origin headers as Chroma sends them when `cors_allow_origins` is set (tower-http's CorsLayer; headers and their
// order observed on 1.0.5). Without origins there are none, and OPTIONS is a method like any other.

const VARY = ['vary', 'origin, access-control-request-method, access-control-request-headers'] as const;
const PREFLIGHT = ['access-control-allow-methods', '*', 'access-control-allow-headers', '*'] as const;
const NONE: readonly string[] = [];

export interface Cors {
  /** True when every OPTIONS request is a preflight, whatever its path. */
  readonly enabled: boolean;
  /** Headers for any response, as a flat list. */
  headers(origin: string | undefined): readonly string[];
  /** Headers for the response to OPTIONS. */
  preflight(origin: string | undefined): readonly string[];
}

/** Compares origins byte by byte, as Chroma does; `*` allows all. */
export function createCors(allowedOrigins: readonly string[]): Cors {
  if (allowedOrigins.length === 0) return { enabled: false, headers: () => NONE, preflight: () => NONE };
  const any = allowedOrigins.includes('*');
  const allowed = new Set(allowedOrigins);
  const allow = (origin: string | undefined): readonly string[] => {
    if (any) return ['access-control-allow-origin', '*'];
    return origin !== undefined && allowed.has(origin) ? ['access-control-allow-origin', origin] : NONE;
  };
  return {
    enabled: true,
    headers: (origin) => [...VARY, ...allow(origin)],
    preflight: (origin) => [...VARY, ...PREFLIGHT, ...allow(origin)],
  };
}
