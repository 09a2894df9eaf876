// Requests and expected responses, from which the behaviours are composed.

import { COLLECTIONS, type Behaviour, type Body, type Request, type ConversationStep } from './subject.ts';

/** A behaviour that consists of steps only. */
export const behaviour = (name: string, ...steps: readonly ConversationStep[]): Behaviour => ({
  name,
  run: (conversation) => conversation.steps(...steps),
});

export function request(method: string, path: string, body?: string): Request {
  return { method, path, body };
}

/** On the records of `{id}`. */
export const records = (action: string, body?: string, id = '{id}'): Request =>
  request(body === undefined ? 'GET' : 'POST', `${COLLECTIONS}/${id}/${action}`, body);

/** Expects exactly this JSON, in any order of keys. */
export const answers = (asked: Request, json: string, status = 200): ConversationStep => ({
  request: asked,
  status,
  body: { json },
});

/** Expects an error of this name whose message starts so. */
export const refuses = (asked: Request, status: number, error: string, start = ''): ConversationStep => ({
  request: asked,
  status,
  body: { error, start },
});

export const invalid = (asked: Request, start: string): ConversationStep =>
  refuses(asked, 400, 'InvalidArgumentError', start);

export const misshapen = (asked: Request): ConversationStep =>
  refuses(asked, 422, 'ChromaError', 'Failed to deserialize the JSON body into the target type: ');

export const empty = (asked: Request, status: number): ConversationStep => {
  const body: Body = { empty: true };
  return { request: asked, status, body };
};

export const adds = (body: string, id = '{id}'): ConversationStep =>
  answers(records('add', body, id), '{}', 201);
export const upserts = (body: string, id = '{id}'): ConversationStep =>
  answers(records('upsert', body, id), '{}');
export const updates = (body: string, id = '{id}'): ConversationStep =>
  answers(records('update', body, id), '{}');
/** The body of a delete's response differs by release. */
export const deletes = (body: string, id = '{id}'): ConversationStep => ({
  request: records('delete', body, id),
  status: 200,
  body: null,
});

export const counts = (number: number, id = '{id}'): ConversationStep =>
  answers(records('count', undefined, id), String(number));

/** A get with these fields and no columns returns these ids in this order. */
export const finds = (fields: string, ids: readonly string[], id = '{id}'): ConversationStep =>
  answers(
    records('get', `{${fields}${fields === '' ? '' : ','}"include":[]}`, id),
    `{"ids":${JSON.stringify(ids)},"embeddings":null,"documents":null,"uris":null,"metadatas":null,"include":[]}`,
  );

/** A get of everything returns these columns. */
export const holds = (
  ids: string,
  embeddings: string,
  documents: string,
  uris: string,
  metadatas: string,
): ConversationStep => {
  const include = '["documents","metadatas","embeddings","uris"]';
  return answers(
    records('get', `{"include":${include}}`),
    `{"ids":${ids},"embeddings":${embeddings},"documents":${documents},"uris":${uris},"metadatas":${metadatas},"include":${include}}`,
  );
};
