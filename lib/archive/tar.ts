import { limits } from "../limits.ts";

/** One entry of an archive. Names are bytes in a latin1 string, so that any byte survives. */
export interface TarEntry {
  readonly path: string;
  readonly type: "file" | "directory" | "symlink" | "link";
  /** Permission bits, setuid, setgid and sticky included. */
  readonly mode: number;
  /** Bytes of content; only files have any. */
  readonly size: number;
  readonly linkpath: string;
}

/** What a reader calls, in this order for each entry: `entry`, then for files `data` until `size` bytes, then `endFile`. */
export interface TarHandler {
  entry(entry: TarEntry): void;
  data(chunk: Uint8Array): void;
  endFile(): void;
}

/** An archive that is broken, ambiguous, or holds what a layer cannot hold. */
export class TarError extends Error {
  override readonly name = "TarError";
}

const block = 512;

/** Names and sizes that extended headers give the next entry. */
interface Extended {
  path?: string;
  linkpath?: string;
  size?: number;
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
  readonly #partial = Buffer.allocUnsafe(block);
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
      else if (this.#partialLength > 0 || chunk.length - offset < block) offset += this.#collect(chunk, offset);
      else {
        this.#header(chunk, offset);
        offset += block;
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
    const length = Math.min(block - this.#partialLength, chunk.length - offset);
    chunk.copy(this.#partial, this.#partialLength, offset, offset + length);
    this.#partialLength += length;
    if (this.#partialLength === block) {
      this.#partialLength = 0;
      this.#header(this.#partial, 0);
    }
    return length;
  }

  #header(bytes: Buffer, at: number): void {
    if (bytes[at] === 0 && isZero(bytes, at)) {
      // Two zero blocks end the archive; what follows is padding to everyone.
      this.#zeroBlocks += 1;
      this.#ended = this.#zeroBlocks === 2;
      return;
    }
    if (this.#zeroBlocks > 0) throw new TarError("an entry follows a zero block");
    checkSum(bytes, at);

    const typeflag = String.fromCharCode(bytes[at + 156] ?? 0);
    const declared = numeric(bytes, at + 124, 12, "size");
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
      readPax(bytes, extended);
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
    const path = extended.path ?? headerPath(bytes, at);
    const linkpath = extended.linkpath ?? untilNul(bytes, at + 157, 100);
    const type = entryType(typeflag, path);
    if (type === undefined) throw new TarError(`${show(path)} is ${typeName(typeflag)}, which no layer may hold`);
    if (path === "") throw new TarError("an entry has no name");
    if (path.length > limits.pathBytes || linkpath.length > limits.pathBytes)
      throw new TarError(`${show(path)} has a name or target longer than ${limits.pathBytes} bytes`);
    if (type !== "directory" && path.endsWith("/")) {
      // A directory to GNU tar and libarchive, a file to Go.
      throw new TarError(`${show(path)} is named like a directory, but is none`);
    }
    if (type !== "file" && size !== 0) throw new TarError(`${show(path)} is no file, but has ${size} bytes of content`);
    if (size > limits.layerBytes) throw new TarError(`${show(path)} claims to be ${size} bytes large`);

    const mode = numeric(bytes, at + 100, 8, "mode") & 0o7777;
    this.#expect(size);
    this.#handler.entry({ path, type, mode, size, linkpath });
    if (type === "file" && size === 0) this.#handler.endFile();
  }

  #expect(size: number): void {
    this.#content = size;
    this.#padding = (block - (size % block)) % block;
  }

  #isExtended(): boolean {
    return this.#extended.pax || this.#extended.longPath || this.#extended.longLink;
  }
}

/** Records `<length> <key>=<value>\n`. Only names and size matter; anything sparse changes what content means. */
function readPax(bytes: Buffer, extended: Extended): void {
  for (let at = 0; at < bytes.length; ) {
    const space = bytes.indexOf(0x20, at);
    const digits = bytes.toString("latin1", at, space < 0 ? at : Math.min(space, at + 10));
    const end = at + Number(digits);
    if (!/^[1-9][0-9]*$/.test(digits) || end > bytes.length || bytes[end - 1] !== 0x0a) {
      throw new TarError("a PAX header has a malformed record");
    }
    const equals = bytes.indexOf(0x3d, space);
    if (equals < 0 || equals >= end) throw new TarError("a PAX header has a record without a value");
    const key = bytes.toString("latin1", space + 1, equals);
    const value = bytes.toString("latin1", equals + 1, end - 1);
    at = end;
    if (key === "" || key.includes("\0")) throw new TarError("a PAX header has a malformed record");
    if (key.startsWith("GNU.sparse.") || key === "SUN.holesdata")
      throw new TarError("a file is stored sparsely, which no layer may hold");
    if (key !== "path" && key !== "linkpath" && key !== "size") continue;
    if (value.includes("\0")) throw new TarError(`a PAX ${key} holds a NUL byte`);
    if (value === "") throw new TarError(`a PAX ${key} is empty`);
    if (key !== "size") extended[key] = value;
    else if (/^[0-9]{1,15}$/.test(value)) extended.size = Number(value);
    else throw new TarError(`a PAX size is ${show(value)}`);
  }
}

function headerPath(bytes: Buffer, at: number): string {
  const name = untilNul(bytes, at, 100);
  const first = bytes[at + 345] ?? 0;
  if (first === 0) return name;
  const magic = bytes.toString("latin1", at + 257, at + 263);
  if (magic === "ustar ") {
    // GNU's format has times there. Go before 1.8 wrote names, and every Go since takes them for such.
    if (first > 0x37 && first < 0x80) throw new TarError(`${show(name)} has a prefix that its format does not know`);
    return name;
  }
  if (magic !== "ustar\0") return name;
  return `${untilNul(bytes, at + 345, 155)}/${name}`;
}

function entryType(typeflag: string, path: string): TarEntry["type"] | undefined {
  switch (typeflag) {
    case "0":
      return "file";
    case "\0":
      // v7 archives mark directories by a slash only.
      return path.endsWith("/") ? "directory" : "file";
    case "1":
      return "link";
    case "2":
      return "symlink";
    case "5":
      return "directory";
    default:
      return undefined;
  }
}

function typeName(typeflag: string): string {
  const names: Readonly<Record<string, string>> = {
    "3": "a character device",
    "4": "a block device",
    "6": "a fifo",
    "7": "a contiguous file",
    S: "a sparse file",
  };
  return (Object.hasOwn(names, typeflag) && names[typeflag]) || `of unknown type ${show(typeflag)}`;
}

/** An octal number, or a base-256 one where its first bit is set. */
function numeric(bytes: Buffer, at: number, length: number, what: string): number {
  if (((bytes[at] ?? 0) & 0x80) !== 0) return base256(bytes, at, length, what);
  let value = 0;
  let digits = 0;
  let ended = false;
  for (let i = at; i < at + length; i++) {
    const byte = bytes[i] ?? 0;
    if (byte === 0x20 || byte === 0) {
      ended ||= digits > 0 || byte === 0;
    } else if (byte >= 0x30 && byte <= 0x37 && !ended) {
      value = value * 8 + (byte - 0x30);
      digits += 1;
    } else {
      throw new TarError(`a header has a malformed ${what}`);
    }
  }
  return value;
}

function base256(bytes: Buffer, at: number, length: number, what: string): number {
  let value = (bytes[at] ?? 0) & 0x7f;
  if ((value & 0x40) !== 0) throw new TarError(`a header has a negative ${what}`);
  for (let i = at + 1; i < at + length; i++) value = value * 256 + (bytes[i] ?? 0);
  if (!Number.isSafeInteger(value)) throw new TarError(`a header has a ${what} beyond reason`);
  return value;
}

/** Verifies the header's checksum; as everyone does, also in the signed reading of old archives. */
function checkSum(bytes: Buffer, at: number): void {
  let unsigned = 8 * 0x20;
  let high = 0;
  for (let i = at; i < at + block; i++) {
    if (i === at + 148) i += 8;
    const byte = bytes[i] ?? 0;
    unsigned += byte;
    if (byte > 127) high += 1;
  }
  const stored = numeric(bytes, at + 148, 8, "checksum");
  if (stored !== unsigned && stored !== unsigned - 256 * high) throw new TarError("a header has a wrong checksum");
}

function isZero(bytes: Buffer, at: number): boolean {
  for (let i = at; i < at + block; i++) if (bytes[i] !== 0) return false;
  return true;
}

function untilNul(bytes: Buffer, at: number, length: number): string {
  const nul = bytes.indexOf(0, at);
  return bytes.toString("latin1", at, nul < 0 || nul > at + length ? at + length : nul);
}

/** A name of an archive for a message: readable where it is UTF-8, escaped and cut where it is not. */
export function show(name: string): string {
  const text = Buffer.from(name, "latin1").toString("utf8");
  return JSON.stringify(text.length > 120 ? `${text.slice(0, 117)}…` : text);
}
