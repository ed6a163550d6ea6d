/** Bytes that can be read piece by piece, such as a file's. */
export interface ByteSource {
  readonly size: number;
  /**
   * The bytes from `start` up to `end`; they count until the next call. Throws the system's error, or one that says what is
   * wrong.
   */
  read(start: number, end: number): Uint8Array;
}

/** Bytes in memory. */
export function bytesInMemory(bytes: Uint8Array): ByteSource {
  return { size: bytes.length, read: (start, end) => bytes.subarray(start, end) };
}
