import { constants, createGunzip, createZstdDecompress } from "node:zlib";
import * as v from "valibot";
import { ZstdFrames } from "./zstd-frames.ts";

/** A blob that cannot be decompressed. */
export class CompressionError extends Error {
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
  /** Told first, and only where decompressing takes longer than all else that is done with the bytes. */
  isSlow?(): void;
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
    if (this.#codec === "gzip") this.#sink.isSlow?.();
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
    if (/too much memory/i.test(why)) {
      return new CompressionError(
        "its blob needs a zstd window of more than 128 MiB, which is not supported: compress it without --long or --ultra",
      );
    }
    if (/dictionary/i.test(why)) {
      return new CompressionError("its blob needs a zstd dictionary, which is not supported: compress it without");
    }
    return new CompressionError(`its blob is not valid ${this.#codec}: ${why}`);
  }

  #goesOn(): CompressionError {
    return new CompressionError(`its blob goes on after the end of its ${this.#codec} data`);
  }
}

function codecOf(start: Buffer): Codec | "none" {
  if (start[0] === 0x1f && start[1] === 0x8b) return "gzip";
  if (start.length >= 4 && start.readUInt32LE(0) === 0xfd2fb528) return "zstd";
  return "none";
}
