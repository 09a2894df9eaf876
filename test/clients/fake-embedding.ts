// An embedding without a model: equal texts have equal vectors, and two records rarely have the same distance, because
// servers return equally near records in different orders.

const FAKE_DIMENSION = 8;

export function fakeEmbedding(text: string): number[] {
  const vector = Array.from({ length: FAKE_DIMENSION }, () => 0);
  for (let index = 0; index < text.length; index++) {
    const place = (text.charCodeAt(index) + index) % FAKE_DIMENSION;
    vector[place] = (vector[place] ?? 0) + 1 + text.charCodeAt(index) / 131 + index / 97;
  }
  return vector;
}
