// Requests to the gateway that serves this page, by paths relative to it.

import { parseExact } from './exact-json.ts';

/** The page without what follows its path: /ui/, or below the path of a reverse proxy. */
const BASE = new URL('.', `${location.origin}${location.pathname}`);

export const urlOf = (path: string): string => new URL(path, BASE).href;

/** A refusal, in the gateway's words. */
export class RequestFailed extends Error {
  readonly status: number | null;

  constructor(message: string, status: number | null) {
    super(message);
    this.name = 'RequestFailed';
    this.status = status;
  }
}

export function get<T>(path: string): Promise<T> {
  return request<T>('GET', path);
}

/** `body`: JSON text. */
export function post<T>(path: string, body?: string): Promise<T> {
  return request<T>('POST', path, body);
}

async function request<T>(method: string, path: string, body?: string): Promise<T> {
  const headers: Record<string, string> = body === undefined ? {} : { 'content-type': 'application/json' };
  const init: RequestInit = { method, headers, ...(body === undefined ? {} : { body }) };
  let response: Response;
  let text: string;
  try {
    response = await fetch(urlOf(path), init);
    text = await response.text();
  } catch {
    throw new RequestFailed('The gateway does not respond. Nothing is known about the request.', null);
  }
  if (!response.ok)
    throw new RequestFailed(messageIn(text) ?? `The gateway responded ${response.status}.`, response.status);
  return parseExact(text) as T;
}

function messageIn(text: string): string | null {
  try {
    const parsed = JSON.parse(text) as { message?: unknown };
    return typeof parsed.message === 'string' ? parsed.message : null;
  } catch {
    return null;
  }
}
