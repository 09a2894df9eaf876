// Failures of a stock server: its responses when it no longer works, and its data after its process ends.
// test/support/hazards.ts lists requests that cause some of them.

import { expect } from 'vitest';
import {
  adds,
  answers,
  counts,
  finds,
  invalid,
  records,
  refuses,
  request,
  behaviour,
  updates,
} from './steps.ts';
import { COLLECTIONS, type Behaviour, type ConversationStep, type Conversation } from './subject.ts';

const OTHER = '{other}';
/** Attempts until a call is executed although its connection ended: a race with the server. */
const CUTS_MAX = 20;

const broken = (asked: ConversationStep['request'], start: string): ConversationStep =>
  refuses(asked, 500, 'InternalError', start);
const UNSENT = 'Error sending message to compactor';
const DEAF = 'Error executing plan: Error sending backfill request to compactor: Failed to send request';
const WEDGED = 'Failed to pull logs from the log store';

const DIMENSION: readonly Behaviour[] = [
  behaviour(
    'fixes the dimension with a first write that is refused for its columns',
    invalid(
      records('add', '{"ids":["a","b"],"embeddings":[[1,2,3]]}'),
      'Inconsistent number of IDs, embeddings, ',
    ),
    counts(0),
    invalid(
      records('add', '{"ids":["a"],"embeddings":[[1]]}'),
      'Collection expecting embedding with dimension of 3, got 1',
    ),
  ),
  behaviour(
    'fixes the dimension with a first write that is refused for an empty id',
    invalid(
      records('upsert', '{"ids":[""],"embeddings":[[1,2,3]]}'),
      'Empty ID, ID must have at least one character',
    ),
    invalid(
      records('add', '{"ids":["a"],"embeddings":[[1]]}'),
      'Collection expecting embedding with dimension of 3, got 1',
    ),
  ),
];

/** The log reader exits; the log of `{id}` has an entry it cannot read, which will end it again. */
const ends = broken(
  records('upsert', '{"ids":["x"],"embeddings":[[9]],"metadatas":[{"chroma:document":5}]}'),
  UNSENT,
);
const healthy: ConversationStep = { request: request('GET', '/api/v2/healthcheck'), status: 200, body: null };
const unpoisoned = answers(request('DELETE', `${COLLECTIONS}/talk-{n}`), '{}');

const READER: readonly Behaviour[] = [
  {
    name: 'reports that it is healthy, responds to writes with 500 and applies them after a restart when its log reader has exited',
    async run(conversation) {
      await conversation.steps(
        adds('{"ids":["a"],"embeddings":[[1]]}', OTHER),
        ends,
        healthy,
        broken(records('add', '{"ids":["late"],"embeddings":[[2]]}', OTHER), UNSENT),
        broken(records('delete', '{"ids":["a"]}', OTHER), UNSENT),
        broken(records('delete', '{"where":{"k":1}}', OTHER), 'Failed to resolve records for deletion: '),
        broken(records('count', undefined, OTHER), DEAF),
        broken(records('get', '{}', OTHER), DEAF),
        broken(records('query', '{"query_embeddings":[[1]]}', OTHER), DEAF),
        invalid(
          records('add', '{"ids":["b"],"embeddings":[[1,2]]}', OTHER),
          'Collection expecting embedding with dimension of 1, got 2',
        ),
        updates('{"ids":[]}', OTHER),
        answers(request('PUT', `${COLLECTIONS}/{other}`, '{"new_metadata":{"written":1}}'), '{}'),
      );
      await conversation.subject.restart();
      await conversation.steps(
        finds('', ['late'], OTHER),
        adds('{"ids":["next"],"embeddings":[[3]]}', OTHER),
      );
      await conversation.steps(unpoisoned);
    },
  },
  {
    name: 'keeps serving stale reads of collections that were read before the log reader exited',
    async run(conversation) {
      await conversation.steps(
        adds('{"ids":["a"],"embeddings":[[1]]}', OTHER),
        counts(1, OTHER),
        ends,
        broken(records('add', '{"ids":["late"],"embeddings":[[2]]}', OTHER), UNSENT),
        counts(1, OTHER),
        finds('', ['a'], OTHER),
      );
      await conversation.subject.restart();
      await conversation.steps(unpoisoned, counts(2, OTHER));
    },
  },
  {
    name: 'loses the log reader again when the same collection is read after a restart',
    async run(conversation) {
      await conversation.steps(adds('{"ids":["a"],"embeddings":[[1]]}', OTHER), ends);
      await conversation.subject.restart();
      await conversation.steps(
        adds('{"ids":["b"],"embeddings":[[2]]}', OTHER),
        broken(records('count'), 'Error executing plan: Error sending backfill request to compactor: '),
        broken(records('add', '{"ids":["c"],"embeddings":[[3]]}', OTHER), UNSENT),
      );
      await conversation.subject.restart();
      await conversation.steps(unpoisoned, adds('{"ids":["d"],"embeddings":[[4]]}', OTHER), counts(4, OTHER));
    },
  },
];

const emptyVector = records('update', '{"ids":["a"],"embeddings":[[]]}');

const WEDGE: readonly Behaviour[] = [
  {
    name: 'wedges a collection without a dimension by an update with an empty embedding, or refuses it',
    async run(conversation) {
      // The releases with metadata arrays refuse it.
      if (conversation.capabilities.metadataArrays) {
        return conversation.steps(invalid(emptyVector, 'Validation error: embeddings: '), counts(0));
      }
      const unreadable = [
        invalid(
          records('count'),
          `Error executing plan: Error sending backfill request to compactor: ${WEDGED}`,
        ),
        invalid(
          records('get', '{}'),
          `Error executing plan: Error sending backfill request to compactor: ${WEDGED}`,
        ),
        invalid(records('delete', '{"ids":["a"]}'), `Error in compaction: ${WEDGED}`),
        invalid(records('delete', '{"where":{"k":1}}'), 'Failed to resolve records for deletion: '),
        invalid(
          records('add', '{"ids":["b"],"embeddings":[[1]]}'),
          'Collection expecting embedding with dimension of 0, got 1',
        ),
      ];
      await conversation.steps(
        invalid(emptyVector, `Error in compaction: ${WEDGED}`),
        ...unreadable,
        adds('{"ids":["a"],"embeddings":[[1]]}', OTHER),
      );
      await conversation.subject.restart();
      await conversation.steps(...unreadable, counts(1, OTHER), unpoisoned);
    },
  },
  {
    name: 'keeps serving a wedged collection that was read before, and wedges none with a dimension',
    async run(conversation) {
      if (conversation.capabilities.metadataArrays) return;
      await conversation.steps(
        counts(0),
        invalid(emptyVector, `Error in compaction: ${WEDGED}`),
        counts(0),
        invalid(records('update', '{"ids":["a"],"documents":["x"]}'), `Error in compaction: ${WEDGED}`),
        adds('{"ids":["a"],"embeddings":[[1,2]]}', OTHER),
        invalid(
          records('update', '{"ids":["a"],"embeddings":[[]]}', OTHER),
          'Collection expecting embedding with dimension of 2, got 0',
        ),
        counts(1, OTHER),
      );
    },
  },
];

const checkpointed = (lsn: number): ConversationStep =>
  answers(request('PUT', `${COLLECTIONS}/{other}`, `{"new_metadata":{"checkpoint":${lsn}}}`), '{}');

/** The checkpoint of a marker: the metadata of a collection. */
async function checkpoint(conversation: Conversation): Promise<unknown> {
  const { text } = await conversation.ask(request('GET', `${COLLECTIONS}/talk-{n}-other`));
  return (JSON.parse(text) as { metadata: unknown }).metadata;
}

const ENDS: readonly Behaviour[] = [
  {
    name: 'loses no acknowledged write when its process is killed',
    async run(conversation) {
      const ids = Array.from({ length: 30 }, (_, index) => `r${index}`);
      for (const [index, id] of ids.entries()) {
        await conversation.steps(adds(`{"ids":["${id}"],"embeddings":[[${index}]]}`));
      }
      await conversation.steps(checkpointed(30));
      await conversation.subject.restart();
      await conversation.steps(finds('', ids));
      expect(await checkpoint(conversation)).toEqual({ checkpoint: 30 });
    },
  },
  {
    name: 'lacks the last writes on an older copy of its data, and its marker shows it',
    async run(conversation) {
      await conversation.steps(adds('{"ids":["kept"],"embeddings":[[1]]}'), checkpointed(1));
      await conversation.subject.keepCopy();
      await conversation.steps(
        adds('{"ids":["lost"],"embeddings":[[2]]}'),
        checkpointed(2),
        finds('', ['kept', 'lost']),
      );
      await conversation.subject.putBackCopy();
      await conversation.steps(finds('', ['kept']));
      expect(await checkpoint(conversation)).toEqual({ checkpoint: 1 });
      await conversation.steps(adds('{"ids":["lost"],"embeddings":[[3]]}'), counts(2));
    },
  },
  {
    name: 'may execute a call after later ones when its connection ends before the response',
    async run(conversation) {
      const path = (id: string): string => conversation.filled(`${COLLECTIONS}/${id}/add`);
      for (let cut = 0; cut < CUTS_MAX; cut++) {
        const busyWith = { path: path('{id}'), body: largeWrite(`cut-${cut}`) };
        const body = `{"ids":["cut-${cut}"],"embeddings":[[1]]}`;
        await conversation.subject.cutOff(path(OTHER), body, busyWith);
        const { text } = await conversation.ask(records('get', `{"ids":["cut-${cut}"],"include":[]}`, OTHER));
        if ((JSON.parse(text) as { ids: string[] }).ids.length === 1) return;
      }
      throw new Error(`none of ${CUTS_MAX} calls without a connection was executed`);
    },
  },
];

/** Enough to keep a server busy for some hundred ms. */
function largeWrite(prefix: string): string {
  const ids = Array.from({ length: 1_000 }, (_, index) => `${prefix}-${index}`);
  const embeddings = ids.map((_id, index) =>
    Array.from({ length: 128 }, (_, at) => (index * 31 + at * 17) % 97),
  );
  return JSON.stringify({ ids, embeddings });
}

export const FAILURES: readonly Behaviour[] = [...DIMENSION, ...READER, ...WEDGE, ...ENDS];
