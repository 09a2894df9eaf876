// How the server refuses a statement: as pg reports it.

import pg from 'pg';

export function refusal(code: string, message: string): pg.DatabaseError {
  const error = new pg.DatabaseError(message, message.length, 'error');
  error.code = code;
  return error;
}
