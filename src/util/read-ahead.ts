// Reads the next value while the present one is used.

/** The values that `next` brings; each is asked for while the one before is used. */
export async function* readAhead<T>(next: () => Promise<IteratorResult<T>>): AsyncGenerator<T> {
  const begin = (): Promise<IteratorResult<T>> => {
    const reading = next();
    // It is awaited later, or not at all.
    reading.catch(() => undefined);
    return reading;
  };
  for (let reading = begin(); ;) {
    const { value, done } = await reading;
    if (done === true) return;
    reading = begin();
    yield value;
  }
}
