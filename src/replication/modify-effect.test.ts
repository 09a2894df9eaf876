import { expect, test } from 'vitest';
import { lacksModification } from './modify-effect.ts';

const list = (collections: readonly object[], status = 200) => ({
  status,
  headers: {},
  body: Buffer.from(JSON.stringify(collections)),
});
const PEARS = { id: 'p', name: 'pears', metadata: { colour: 'green', n: 1 } };

test.each([
  ['another name', true, { new_name: 'plums' }, [PEARS]],
  ['the name', false, { new_name: 'pears' }, [PEARS]],
  ['another text', true, { new_metadata: { colour: 'red' } }, [PEARS]],
  ['another number', true, { new_metadata: { n: 2 } }, [PEARS]],
  ['no metadata', true, { new_metadata: { n: 2 } }, [{ ...PEARS, metadata: null }]],
  ['the metadata', false, { new_metadata: { n: 1.0, colour: 'green' } }, [PEARS]],
  ['only a configuration, which is not compared', false, { new_configuration: { hnsw: {} } }, [PEARS]],
  ['the name, and other metadata', true, { new_name: 'pears', new_metadata: { n: 2 } }, [PEARS]],
  ['nothing of the collection', false, { new_name: 'plums' }, [{ ...PEARS, id: 'q' }]],
])('when the node shows %s, the modification is lacking: %s', (_what, lacks, body, collections) => {
  expect(lacksModification(Buffer.from(JSON.stringify(body)), list(collections), 'p')).toBe(lacks);
});

test('a node that does not list its collections proves nothing', () => {
  expect(lacksModification(Buffer.from('{"new_name":"plums"}'), list([PEARS], 500), 'p')).toBe(false);
});
