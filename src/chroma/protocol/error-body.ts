// Chroma's error bodies, and the header of its error responses.

/** Header of every response of status 400 and above; all zeros without tracing. */
export const TRACE_HEADER = 'chroma-trace-id';
export const NO_TRACE = '00000000000000000000000000000000';

/** {"error": NAME, "message": TEXT}, with the bytes that serde writes. */
export function errorBody(error: string, message: string): string {
  return JSON.stringify({ error, message: message.toWellFormed() });
}
