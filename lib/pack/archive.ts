import { Writable } from "node:stream";
import { writeAll } from "../disk/write.ts";
import { Digester } from "../oci/digest.ts";
import { endOfArchive, headerOf, type PackedEntry, paddingOf } from "./header.ts";
import { cannotPack } from "./tree-reader.ts";

/** So much is kept before it is hashed and written: thousands of small entries cost few system calls. */
const bufferBytes = 1024 * 1024;

/** An archive on its way to a file, and to its digest. */
export class Archive {
  readonly #fd: number | undefined;
  readonly #buffer = Buffer.allocUnsafe(bufferBytes);
  readonly #digester = new Digester();
  #used = 0;
  #size = 0;
  #entries = 0;

  /** `fd`: a file to write to; undefined where only the digest is asked for. */
  constructor(fd: number | undefined) {
    this.#fd = fd;
  }

  /** Bytes so far. */
  get size(): number {
    return this.#size + this.#used;
  }

  /** Entries so far. */
  get entries(): number {
    return this.#entries;
  }

  /** An entry without content, or the head of one whose content follows by `write`, and then `pad`. */
  begin(entry: PackedEntry): void {
    this.#entries += 1;
    this.write(headerOf(entry));
  }

  write(bytes: Uint8Array): void {
    for (let rest = bytes; rest.length > 0; ) {
      if (this.#used === bufferBytes) this.#flush();
      const part = rest.subarray(0, bufferBytes - this.#used);
      this.#buffer.set(part, this.#used);
      this.#used += part.length;
      rest = rest.subarray(part.length);
    }
  }

  pad(contentBytes: number): void {
    this.write(paddingOf(contentBytes));
  }

  /** Ends it; returns the digest of all. */
  end(): string {
    this.write(endOfArchive);
    this.#flush();
    return this.#digester.digest();
  }

  #flush(): void {
    const bytes = this.#buffer.subarray(0, this.#used);
    this.#digester.update(bytes);
    if (this.#fd !== undefined) writeAll(this.#fd, bytes);
    this.#size += this.#used;
    this.#used = 0;
  }
}

/** The content of one file: exactly as much as its header says. What `take` and `end` throw is the stream's error. */
export class Content extends Writable {
  readonly #take: (chunk: Uint8Array) => void;
  readonly #path: string;
  readonly #size: number;
  readonly #end: () => void;
  #written = 0;

  constructor(path: string, size: number, take: (chunk: Uint8Array) => void, end: () => void) {
    super();
    this.#path = path;
    this.#size = size;
    this.#take = take;
    this.#end = end;
  }

  override _write(chunk: Buffer, _encoding: string, done: (error?: Error) => void): void {
    this.#written += chunk.length;
    done(errorOf(() => this.#take(chunk)));
  }

  override _final(done: (error?: Error) => void): void {
    if (this.#written === this.#size) done(errorOf(this.#end));
    else done(cannotPack(this.#path, new Error("it changed meanwhile")));
  }
}

function errorOf(work: () => void): Error | undefined {
  try {
    work();
    return undefined;
  } catch (error) {
    return error instanceof Error ? error : new Error(String(error));
  }
}
