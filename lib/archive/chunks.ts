/**
 * Gives the memory of a chunk back that was dealt with, where it has a buffer of its own: the collector, which does not see
 * how large buffers are, would leave as much lying about as the whole blob.
 */
export function giveBack(chunk: Uint8Array): void {
  const { buffer } = chunk;
  if (buffer instanceof ArrayBuffer && buffer.byteLength === chunk.byteLength) buffer.transfer(0);
}

/** Chunks until `stop` resolves: a stalled download must not keep a run that is asked to stop, or has failed elsewhere. */
export async function* until<T>(stop: Promise<void>, chunks: AsyncIterable<T>): AsyncGenerator<T, void, void> {
  const iterator = chunks[Symbol.asyncIterator]();
  const stopped = stop.then(() => undefined);
  try {
    for (;;) {
      const next = iterator.next();
      next.catch(() => {});
      const result = await Promise.race([next, stopped]);
      if (result === undefined || result.done === true) return;
      yield result.value;
    }
  } finally {
    // Not awaited: it waits for the chunk that does not come.
    iterator.return?.()?.catch(() => {});
  }
}
