import { limits } from "../limits.ts";
import { type PaxRecords, readPax } from "./pax.ts";
import { show, TarError } from "./tar-error.ts";
import {
  blockBytes,
  type EntryType,
  entryType,
  isZeroBlock,
  linknameOf,
  modeOf,
  nameOf,
  sizeOf,
  typeflagOf,
  typeNames,
  untilNul,
  verifyChecksum,
} from "./tar-header.ts";

/** One entry of an archive. Names are bytes in a latin1 string, so that any byte survives. */
export interface TarEntry {
  readonly path: string;
  readonly type: EntryType;
  /** Permission bits, setuid, setgid and sticky included. */
  readonly mode: number;
  /** Bytes of content; only files have any. */
  readonly size: number;
  readonly linkpath: string;
}

/** What a reader calls, in this order for each entry: `entry`, then for files `data` until `size` bytes, then `endFile`. */
export interface TarHandler {
  /** `header`, from `at` on, is the block of its header, and counts until this returns. */
  entry(entry: TarEntry, header: Buffer, at: number): void;
  data(chunk: Uint8Array): void;
  endFile(): void;
}

/** Names and sizes that extended headers give the next entry. */
interface Extended extends PaxRecords {
  /** Where they came from; an entry may take them from one format only. */
  pax: boolean;
  longPath: boolean;
  longLink: boolean;
}

const noExtension = (): Extended => ({ pax: false, longPath: false, longLink: false });

/**
 * A push parser for tar archives (POSIX ustar and pax, GNU, v7). It is strict where formats leave room for two readings:
 * what GNU tar, Go and libarchive would not all read alike is refused, since no exporter writes it.
 */
export class TarReader {
  readonly #handler: TarHandler;
  /** Part of a block that a chunk ended in. */
  readonly #partial = Buffer.allocUnsafe(blockBytes);
  #partialLength = 0;
  /** Content bytes of the present entry still to come, and the zero bytes behind them. */
  #content = 0;
  #padding = 0;
  /** Receives the content of an extended header instead of the handler. */
  #special: { type: string; bytes: Buffer; length: number } | undefined;
  #extended = noExtension();
  #zeroBlocks = 0;
  #ended = false;

  constructor(handler: TarHandler) {
    this.#handler = handler;
  }

  /** Takes the next bytes of the archive; the chunk may be reused afterwards. Throws TarErrors and what the handler throws. */
  write(chunk: Buffer): void {
    let offset = 0;
    while (offset < chunk.length && !this.#ended) {
      if (this.#content > 0) offset += this.#takeContent(chunk, offset);
      else if (this.#padding > 0) offset += this.#skipPadding(chunk.length - offset);
      else if (this.#partialLength > 0 || chunk.length - offset < blockBytes) offset += this.#collect(chunk, offset);
      else {
        this.#header(chunk, offset);
        offset += blockBytes;
      }
    }
  }

  /** Says that the archive is complete. Throws a TarError where it ends in the middle of something. */
  finish(): void {
    if (this.#content > 0 || this.#padding > 0 || this.#partialLength > 0) throw new TarError("the archive is cut off");
    if (this.#special !== undefined || this.#isExtended()) {
      throw new TarError("the archive ends with an extended header that belongs to no entry");
    }
  }

  #takeContent(chunk: Buffer, offset: number): number {
    const length = Math.min(this.#content, chunk.length - offset);
    const bytes = chunk.subarray(offset, offset + length);
    this.#content -= length;
    if (this.#special === undefined) {
      this.#handler.data(bytes);
      if (this.#content === 0) this.#handler.endFile();
      return length;
    }
    bytes.copy(this.#special.bytes, this.#special.length);
    this.#special.length += length;
    if (this.#content === 0) this.#endSpecial(this.#special);
    return length;
  }

  #skipPadding(available: number): number {
    const length = Math.min(this.#padding, available);
    this.#padding -= length;
    return length;
  }

  #collect(chunk: Buffer, offset: number): number {
    const length = Math.min(blockBytes - this.#partialLength, chunk.length - offset);
    chunk.copy(this.#partial, this.#partialLength, offset, offset + length);
    this.#partialLength += length;
    if (this.#partialLength === blockBytes) {
      this.#partialLength = 0;
      this.#header(this.#partial, 0);
    }
    return length;
  }

  #header(bytes: Buffer, at: number): void {
    if (bytes[at] === 0 && isZeroBlock(bytes, at)) {
      // Two zero blocks end the archive; what follows is padding to everyone.
      this.#zeroBlocks += 1;
      this.#ended = this.#zeroBlocks === 2;
      return;
    }
    if (this.#zeroBlocks > 0) throw new TarError("an entry follows a zero block");
    verifyChecksum(bytes, at);

    const typeflag = typeflagOf(bytes, at);
    const declared = sizeOf(bytes, at);
    switch (typeflag) {
      case "x":
      case "g":
      case "L":
      case "K":
        this.#beginSpecial(typeflag, declared);
        return;
      default:
        this.#entry(bytes, at, typeflag, declared);
    }
  }

  #beginSpecial(type: string, size: number): void {
    if (size > limits.tarHeaderBytes)
      throw new TarError(`an extended header is larger than ${limits.tarHeaderBytes} bytes`);
    const extended = this.#extended;
    if (type === "g" && this.#isExtended()) {
      // Go forgets the extended header then, GNU tar keeps it.
      throw new TarError("a PAX global header stands between an extended header and its entry");
    }
    if ((type === "x" && extended.pax) || (type === "L" && extended.longPath) || (type === "K" && extended.longLink)) {
      throw new TarError("one entry has two extended headers of a kind");
    }
    this.#special = { type, bytes: Buffer.allocUnsafe(size), length: 0 };
    this.#expect(size);
    if (size === 0) this.#endSpecial(this.#special);
  }

  #endSpecial({ type, bytes }: { type: string; bytes: Buffer }): void {
    this.#special = undefined;
    const extended = this.#extended;
    // A global header sets defaults such as comments; none of them matters to a layer.
    if (type === "g") return;
    if (type === "x") {
      extended.pax = true;
      Object.assign(extended, readPax(bytes));
    } else if (type === "L") {
      extended.longPath = true;
      extended.path = untilNul(bytes, 0, bytes.length);
    } else {
      extended.longLink = true;
      extended.linkpath = untilNul(bytes, 0, bytes.length);
    }
    if (extended.pax && (extended.longPath || extended.longLink)) {
      throw new TarError("one entry has both PAX and GNU extended headers");
    }
  }

  #entry(bytes: Buffer, at: number, typeflag: string, declared: number): void {
    const extended = this.#extended;
    if (this.#isExtended()) this.#extended = noExtension();
    const size = extended.size ?? declared;
    // Readers that know PAX and readers that do not must not see two archives in one.
    if (size !== declared && declared !== 0) throw new TarError("a PAX size contradicts its entry's header");
    const path = extended.path ?? nameOf(bytes, at);
    const type = entryType(typeflag, path);
    const isLink = type === "symlink" || type === "link";
    const linkpath = extended.linkpath ?? (isLink ? linknameOf(bytes, at) : "");
    if (path === "") throw new TarError("an entry has no name");
    if (path.length > limits.pathBytes || linkpath.length > limits.pathBytes)
      throw new TarError(`${show(path)} has a name or target longer than ${limits.pathBytes} bytes`);
    if (type !== "directory" && path.endsWith("/")) {
      // A directory to GNU tar and libarchive, a file to Go.
      throw new TarError(`${show(path)} is ${typeNames[type]}, but named like a directory`);
    }
    if (type !== "file" && size !== 0)
      throw new TarError(`${show(path)} is ${typeNames[type]}, but has ${size} bytes of content`);
    if (size > limits.layerBytes) throw new TarError(`${show(path)} claims to be ${size} bytes large`);

    const mode = modeOf(bytes, at);
    this.#expect(size);
    this.#handler.entry({ path, type, mode, size, linkpath }, bytes, at);
    if (type === "file" && size === 0) this.#handler.endFile();
  }

  #expect(size: number): void {
    this.#content = size;
    this.#padding = (blockBytes - (size % blockBytes)) % blockBytes;
  }

  #isExtended(): boolean {
    return this.#extended.pax || this.#extended.longPath || this.#extended.longLink;
  }
}
