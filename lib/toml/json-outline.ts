/** A stretch of a JSON text that its outline leaves out. */
export interface Part {
  /** Of its first byte, and behind its last one. */
  readonly start: number;
  readonly end: number;
  /** Values, about: its commas and opening brackets. */
  readonly pieces: number;
  /** Levels of nesting; 0 for a string. */
  readonly depth: number;
}

const quoteMark = 0x22;
const backslash = 0x5c;
const comma = 0x2c;
const colon = 0x3a;
/** Strings up to this length are worth no part of their own. */
const shortString = 200;

/**
 * Reads a JSON text in one pass, chunk by chunk, without making its values: counts them, and writes an outline, the same
 * text in which arrays and objects (and, at that depth, long strings of objects) inside of more than `depth` others are
 * replaced by a `[start, end, pieces, depth]`. Whoever parses the outline finds what is not JSON in it.
 */
export class JsonOutline {
  readonly #keptDepth: number;
  #bytes = Buffer.allocUnsafe(4096);
  #length = 0;
  /** Of the chunk's first byte, in the text. */
  #offset = 0;
  #depth = 0;
  #deepestOfPart = 0;
  #pieces = 0;
  #keptPieces = 0;
  #inString = false;
  #isEscaped = false;
  #afterColon = false;
  #part: { readonly start: number; readonly pieces: number } | undefined;
  /** Up to where the chunk has been copied. */
  #copied = 0;

  constructor(keptDepth: number) {
    this.#keptDepth = keptDepth;
  }

  /** Values of the text so far, about: its commas and opening brackets. */
  get pieces(): number {
    return this.#pieces;
  }

  /** How many of them are in the outline. */
  get keptPieces(): number {
    return this.#keptPieces;
  }

  /** The outline, as far as it goes. */
  get bytes(): Uint8Array {
    return this.#bytes.subarray(0, this.#length);
  }

  /** Takes the next bytes of the text. */
  write(chunk: Uint8Array): void {
    this.#copied = 0;
    for (let at = 0; at < chunk.length; at += 1) {
      if (this.#inString) {
        at = this.#endOfString(chunk, at);
        if (!this.#inString) this.#leaveString(chunk, at);
        continue;
      }
      const byte = chunk[at];
      if (byte === quoteMark) this.#enterString(chunk, at);
      else if (byte === comma) this.#next();
      else if (byte === colon) this.#afterColon = true;
      // `{` and `[`, `}` and `]` differ in one bit only, which nothing else outside of strings has.
      else if (byte === 0x7b || byte === 0x5b) this.#open(chunk, at);
      else if (byte === 0x7d || byte === 0x5d) this.#close(at);
    }
    if (this.#part === undefined) this.#copy(chunk, chunk.length);
    this.#offset += chunk.length;
  }

  #next(): void {
    this.#pieces += 1;
    this.#afterColon = false;
    if (this.#depth <= this.#keptDepth) this.#keptPieces += 1;
  }

  #open(chunk: Uint8Array, at: number): void {
    this.#next();
    this.#depth += 1;
    if (this.#depth > this.#deepestOfPart) this.#deepestOfPart = this.#depth;
    if (this.#depth === this.#keptDepth + 1) this.#beginPart(chunk, at);
  }

  #close(at: number): void {
    if (this.#depth === this.#keptDepth + 1) this.#endPart(at + 1);
    // More are closed than were opened: the outline will not be JSON.
    if (this.#depth > 0) this.#depth -= 1;
    this.#afterColon = false;
  }

  #enterString(chunk: Uint8Array, at: number): void {
    this.#inString = true;
    if (this.#depth === this.#keptDepth && this.#afterColon) this.#beginPart(chunk, at);
  }

  /** Where the string that `at` lies in ends, or the chunk. */
  #endOfString(chunk: Uint8Array, from: number): number {
    let at = from;
    if (this.#isEscaped) {
      this.#isEscaped = false;
      at += 1;
    }
    for (; at < chunk.length; at += 1) {
      const byte = chunk[at];
      if (byte === quoteMark) {
        this.#inString = false;
        return at;
      }
      if (byte === backslash) at += 1;
    }
    // A backslash was the last byte.
    this.#isEscaped = at > chunk.length;
    return chunk.length;
  }

  #leaveString(chunk: Uint8Array, at: number): void {
    if (this.#part === undefined || this.#depth !== this.#keptDepth) return;
    const start = this.#part.start - this.#offset;
    if (start < 0 || at - start > shortString) {
      this.#endPart(at + 1);
      return;
    }
    this.#part = undefined;
    this.#copied = start;
    this.#copy(chunk, at + 1);
  }

  #beginPart(chunk: Uint8Array, at: number): void {
    this.#copy(chunk, at);
    this.#part = { start: this.#offset + at, pieces: this.#pieces };
    this.#deepestOfPart = this.#depth;
  }

  #endPart(end: number): void {
    if (this.#part === undefined) return;
    const { start, pieces } = this.#part;
    const part = [start, this.#offset + end, this.#pieces - pieces, this.#deepestOfPart - this.#keptDepth];
    this.#append(Buffer.from(`[${part.join(",")}]`));
    this.#part = undefined;
    this.#copied = end;
  }

  #copy(chunk: Uint8Array, end: number): void {
    if (end > this.#copied) this.#append(chunk.subarray(this.#copied, end));
    this.#copied = end;
  }

  #append(bytes: Uint8Array): void {
    if (this.#length + bytes.length > this.#bytes.length) {
      const larger = Buffer.allocUnsafe(2 * (this.#length + bytes.length));
      larger.set(this.#bytes.subarray(0, this.#length));
      this.#bytes = larger;
    }
    this.#bytes.set(bytes, this.#length);
    this.#length += bytes.length;
  }
}
