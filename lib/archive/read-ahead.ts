/** Bytes of one blob that are kept until it is wanted. */
export const aheadBytes = 2 * 1024 * 1024;

/**
 * A stream that is begun before anybody wants it: up to `most` bytes and a chunk of it are kept until then. What goes wrong
 * meanwhile is thrown to whoever reads it. Iterate it once.
 */
export function readAhead(chunks: AsyncIterable<Uint8Array>, most: number): AsyncIterable<Uint8Array> {
  const iterator = chunks[Symbol.asyncIterator]();
  const begun = begin(iterator, most);
  return {
    async *[Symbol.asyncIterator]() {
      try {
        const { parts, failure, isOver } = await begun;
        yield* parts;
        if (failure !== undefined) throw failure.error;
        if (!isOver) yield* { [Symbol.asyncIterator]: () => iterator };
      } finally {
        await iterator.return?.();
      }
    },
  };
}

interface Beginning {
  readonly parts: readonly Uint8Array[];
  readonly isOver: boolean;
  readonly failure?: { readonly error: unknown };
}

async function begin(iterator: AsyncIterator<Uint8Array>, most: number): Promise<Beginning> {
  const parts: Uint8Array[] = [];
  try {
    for (let length = 0; length < most; ) {
      const { done, value } = await iterator.next();
      if (done === true) return { parts, isOver: true };
      parts.push(value);
      length += value.length;
    }
    return { parts, isOver: false };
  } catch (error) {
    return { parts, isOver: true, failure: { error } };
  }
}
