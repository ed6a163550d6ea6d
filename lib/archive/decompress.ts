import { constants, createGunzip, createZstdDecompress } from "node:zlib";
import * as v from "valibot";

/** A blob that cannot be decompressed. */
class CompressionError extends Error {
  override readonly name = "CompressionError";
}

type Codec = "gzip" | "zstd";

/** The part of a zlib stream that works synchronously; node:zlib has it, but names it as its own business. */
interface Handle {
  onerror: (message: string) => void;
  writeSync(
    flush: number,
    input: Buffer,
    at: number,
    length: number,
    output: Buffer,
    outAt: number,
    room: number,
  ): void;
  close(): void;
}

const handleSchema = v.custom<Handle>(
  (value) =>
    typeof value === "object" && value !== null && "writeSync" in value && typeof value.writeSync === "function",
);
const streamSchema = v.object({ _handle: handleSchema, _writeState: v.instance(Uint32Array) });

const nothing = Buffer.alloc(0);

/** Where decompressed bytes go: `acquire` gives room, `commit` says how much of it was filled. */
export interface Sink {
  acquire(): Buffer;
  commit(length: number): void;
}

/**
 * Decompresses a blob (gzip or zstd by its first bytes, else plain) synchronously: through node:zlib's streams the same
 * costs twice the time, most of it in events and copies.
 */
export class Decompressor {
  readonly #sink: Sink;
  #start: Buffer = nothing;
  #codec: Codec | "none" | undefined;
  #handle: Handle | undefined;
  #frames: ZstdFrames | undefined;
  /** After a write: output bytes left free, input bytes left over. */
  #state = new Uint32Array(2);
  #failure: string | undefined;
  #ended = false;

  constructor(sink: Sink) {
    this.#sink = sink;
  }

  /** Throws a CompressionError, and what the sink throws. */
  write(bytes: Buffer): void {
    if (this.#codec !== undefined) {
      this.#decode(bytes);
      return;
    }
    // The first bytes tell the codec, however small the first chunks are.
    this.#start = Buffer.concat([this.#start, bytes]);
    if (this.#start.length >= 4) this.#begin();
  }

  /** Ends the blob. Throws a CompressionError where it is cut off. */
  end(): void {
    if (this.#codec === undefined) this.#begin();
    if (this.#frames?.complete === false) throw this.#invalid("unexpected end of file");
    if (this.#handle !== undefined && !this.#ended && this.#codec === "gzip") {
      this.#step(constants.Z_FINISH, nothing, 0, Buffer.alloc(1));
    }
    this.close();
  }

  close(): void {
    this.#handle?.close();
    this.#handle = undefined;
  }

  #begin(): void {
    const start = this.#start;
    this.#start = nothing;
    this.#codec = codecOf(start);
    if (this.#codec !== "none") {
      const stream = this.#codec === "gzip" ? createGunzip() : createZstdDecompress();
      const { _handle, _writeState } = v.parse(streamSchema, stream);
      _handle.onerror = (message) => {
        this.#failure = message;
      };
      this.#handle = _handle;
      this.#state = _writeState;
    }
    if (this.#codec === "zstd") this.#frames = new ZstdFrames();
    if (start.length > 0) this.#decode(start);
  }

  #decode(bytes: Buffer): void {
    if (this.#codec === "none") this.#copy(bytes);
    else if (this.#ended) this.#expectPadding(bytes);
    else if (this.#frames === undefined) this.#gunzip(bytes);
    else this.#unzstd(bytes, this.#frames);
  }

  #copy(bytes: Buffer): void {
    for (let at = 0; at < bytes.length; ) {
      const length = bytes.copy(this.#sink.acquire(), 0, at);
      this.#sink.commit(length);
      at += length;
    }
  }

  #gunzip(bytes: Buffer): void {
    const at = this.#feed(bytes, 0);
    // Room for output and yet input left over: the stream has ended before the blob did.
    this.#ended = at < bytes.length;
    if (this.#ended) this.#expectPadding(bytes.subarray(at));
  }

  #unzstd(bytes: Buffer, frames: ZstdFrames): void {
    const end = frames.follow(bytes);
    const data = bytes.subarray(0, end);
    // The decoder may stop after any frame, even before the next one's first byte; but not there twice.
    for (let at = 0, before = -1; at < end; ) {
      const next = this.#feed(data, at);
      if (next === at && at === before) throw this.#invalid("no progress");
      [at, before] = [next, at];
    }
    if (end === bytes.length) return;
    this.#ended = true;
    if (!frames.complete) throw this.#goesOn();
    this.#expectPadding(bytes.subarray(end));
  }

  /** Decompresses until there is room left for output; returns the position of the first byte that was not taken. */
  #feed(bytes: Buffer, from: number): number {
    for (let at = from; ; ) {
      const output = this.#sink.acquire();
      this.#step(constants.Z_NO_FLUSH, bytes, at, output);
      const [free = 0, left = 0] = this.#state;
      if (free < output.length) this.#sink.commit(output.length - free);
      at = bytes.length - left;
      if (free > 0) return at;
    }
  }

  #step(flush: number, bytes: Buffer, at: number, output: Buffer): void {
    this.#handle?.writeSync(flush, bytes, at, bytes.length - at, output, 0, output.length);
    if (this.#failure !== undefined) throw this.#invalid(this.#failure);
  }

  #expectPadding(bytes: Buffer): void {
    if (bytes.some((byte) => byte !== 0)) throw this.#goesOn();
  }

  #invalid(why: string): CompressionError {
    return new CompressionError(`its blob is no valid ${this.#codec}: ${why}`);
  }

  #goesOn(): CompressionError {
    return new CompressionError(`its blob goes on after the end of its ${this.#codec} data`);
  }
}

type Field = "magic" | "descriptor" | "block" | "length";

const frameMagic = [0x28, 0xb5, 0x2f, 0xfd];
/** The first byte may be 0x50 to 0x5f. */
const skippableMagic = [0x50, 0x2a, 0x4d, 0x18];

/**
 * Follows the frames of zstd data (RFC 8878, section 3.1) without decoding them. The decoder does not say whether a frame
 * has ended with its input, so that what comes after it, or the lack of it, would go by where the chunks end.
 */
class ZstdFrames {
  /** Bytes to pass over before the next field. */
  #skip = 0;
  /** The field that comes next, how many bytes it has, and those of them that are there already, the lowest first. */
  #field: Field = "magic";
  #size = 4;
  #value = 0;
  #got = 0;
  #checksum = 0;

  /** Whether the data may end here. */
  get complete(): boolean {
    return this.#field === "magic" && this.#got === 0 && this.#skip === 0;
  }

  /** Takes in the next bytes; returns the position of the first one that is of no frame, or their number. */
  follow(bytes: Buffer): number {
    for (let at = 0; at < bytes.length; ) {
      if (this.#skip > 0) {
        const passed = Math.min(this.#skip, bytes.length - at);
        this.#skip -= passed;
        at += passed;
        continue;
      }
      const byte = bytes[at] ?? 0;
      if (this.#field === "magic" && !this.#isMagic(byte)) return at;
      at++;
      this.#value += byte * 2 ** (8 * this.#got++);
      if (this.#got === this.#size) this.#read(this.#value);
    }
    return bytes.length;
  }

  #isMagic(byte: number): boolean {
    if (this.#got === 0) return byte === frameMagic[0] || (byte & 0xf0) === skippableMagic[0];
    return byte === (this.#isFrame() ? frameMagic : skippableMagic)[this.#got];
  }

  #isFrame(): boolean {
    return this.#value % 256 === frameMagic[0];
  }

  #read(value: number): void {
    switch (this.#field) {
      case "magic":
        if (this.#isFrame()) this.#expect("descriptor", 1, 0);
        else this.#expect("length", 4, 0);
        break;
      case "length":
        this.#expect("magic", 4, value);
        break;
      case "descriptor": {
        const single = (value >> 5) & 1;
        this.#checksum = value & 4;
        const dictionary = [0, 1, 2, 4][value & 3] ?? 0;
        const content = [single, 2, 4, 8][value >> 6] ?? 0;
        this.#expect("block", 3, 1 - single + dictionary + content);
        break;
      }
      case "block": {
        const isLast = (value & 1) === 1;
        const isRun = ((value >> 1) & 3) === 1;
        const length = isRun ? 1 : value >> 3;
        if (isLast) this.#expect("magic", 4, length + this.#checksum);
        else this.#expect("block", 3, length);
      }
    }
  }

  #expect(field: Field, size: number, skip: number): void {
    [this.#field, this.#size, this.#skip] = [field, size, skip];
    [this.#value, this.#got] = [0, 0];
  }
}

function codecOf(start: Buffer): Codec | "none" {
  if (start[0] === 0x1f && start[1] === 0x8b) return "gzip";
  if (start.length >= 4 && start.readUInt32LE(0) === 0xfd2fb528) return "zstd";
  return "none";
}
