// The bodies in which Chroma says that something is wrong.

/** The header that Chroma's servers put on every answer of status 400 and above, all zeros without tracing. */
export const TRACE_HEADER = 'chroma-trace-id';
export const NO_TRACE = '00000000000000000000000000000000';

/** {"error": NAME, "message": TEXT}, byte for byte as serde writes it. */
export function errorBody(error: string, message: string): string {
  return JSON.stringify({ error, message: message.toWellFormed() });
}
