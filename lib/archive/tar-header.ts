import { show, TarError } from "./tar-error.ts";

/** Bytes of a header, and what content is padded to. */
export const blockBytes = 512;

/** Where the fields of a header lie, and how long they are (POSIX ustar; GNU and v7 agree on these). */
const fields = {
  name: { at: 0, length: 100 },
  mode: { at: 100, length: 8 },
  uid: { at: 108, length: 8 },
  gid: { at: 116, length: 8 },
  size: { at: 124, length: 12 },
  checksum: { at: 148, length: 8 },
  typeflag: { at: 156, length: 1 },
  linkname: { at: 157, length: 100 },
  magic: { at: 257, length: 6 },
  prefix: { at: 345, length: 155 },
} as const;

/** What an entry of a layer can be. */
export type EntryType = "file" | "directory" | "symlink" | "link";

/** How messages name it. */
export const typeNames: Readonly<Record<EntryType, string>> = {
  file: "a file",
  directory: "a directory",
  symlink: "a symbolic link",
  link: "a hard link",
};

/** The letter that says what a header is of; `at` is where the header begins in `bytes`, here and below. */
export function typeflagOf(bytes: Buffer, at: number): string {
  return String.fromCharCode(bytes[at + fields.typeflag.at] ?? 0);
}

/** Bytes of content that follow the header. */
export function sizeOf(bytes: Buffer, at: number): number {
  return numeric(bytes, at, "size");
}

/** Permission bits, setuid, setgid and sticky included. */
export function modeOf(bytes: Buffer, at: number): number {
  return numeric(bytes, at, "mode") & 0o7777;
}

/** User and group, as numbers; what PAX records say of them is not looked at. */
export function ownerOf(bytes: Buffer, at: number): { readonly uid: number; readonly gid: number } {
  return { uid: numeric(bytes, at, "uid"), gid: numeric(bytes, at, "gid") };
}

/** The target of a link. */
export function linknameOf(bytes: Buffer, at: number): string {
  return text(bytes, at, "linkname");
}

/** The name of an entry, its prefix included where the format has one. */
export function nameOf(bytes: Buffer, at: number): string {
  const name = text(bytes, at, "name");
  const first = bytes[at + fields.prefix.at] ?? 0;
  if (first === 0) return name;
  const magicAt = at + fields.magic.at;
  const magic = bytes.toString("latin1", magicAt, magicAt + fields.magic.length);
  if (magic === "ustar ") {
    // GNU's format has times there. Go before 1.8 wrote names, and every Go since takes them for such.
    if (first > 0x37 && first < 0x80) throw new TarError(`${show(name)} has a prefix that its format does not know`);
    return name;
  }
  if (magic !== "ustar\0") return name;
  return `${text(bytes, at, "prefix")}/${name}`;
}

/** What an entry is; throws a TarError for what no layer can hold. */
export function entryType(typeflag: string, path: string): EntryType {
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
      throw new TarError(`${show(path)} is ${otherType(typeflag)}, which no layer may hold`);
  }
}

function otherType(typeflag: string): string {
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
function numeric(bytes: Buffer, header: number, what: "mode" | "uid" | "gid" | "size" | "checksum"): number {
  const at = header + fields[what].at;
  const { length } = fields[what];
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
export function verifyChecksum(bytes: Buffer, at: number): void {
  const own = at + fields.checksum.at;
  // The checksum itself counts as spaces.
  let unsigned = fields.checksum.length * 0x20 + sumOf(bytes, at);
  for (let i = own; i < own + fields.checksum.length; i++) unsigned -= bytes[i] ?? 0;
  const stored = numeric(bytes, at, "checksum");
  if (stored === unsigned || stored === unsigned - 256 * highIn(bytes, at)) return;
  throw new TarError("a header has a wrong checksum");
}

/** The sum of a block's bytes, which is most of what reading a header takes: four at a time where they are aligned. */
function sumOf(bytes: Buffer, at: number): number {
  const start = bytes.byteOffset + at;
  let sum = 0;
  if (start % 4 !== 0) {
    for (let i = at; i < at + blockBytes; i++) sum += bytes[i] ?? 0;
    return sum;
  }
  const words = new Uint32Array(bytes.buffer, start, blockBytes / 4);
  // Two sums of two bytes of each word: no more than 128 × 255 in 16 bits.
  let [even, odd] = [0, 0];
  for (let i = 0; i < words.length; i++) {
    const word = words[i] ?? 0;
    even += word & 0x00ff00ff;
    odd += (word >>> 8) & 0x00ff00ff;
  }
  for (const pair of [even, odd]) sum += (pair & 0xffff) + (pair >>> 16);
  return sum;
}

/** Bytes beyond 127, the checksum's own aside. */
function highIn(bytes: Buffer, at: number): number {
  const own = at + fields.checksum.at;
  let high = 0;
  for (let i = at; i < at + blockBytes; i++) {
    const isOwn = i >= own && i < own + fields.checksum.length;
    if (!isOwn && (bytes[i] ?? 0) > 127) high += 1;
  }
  return high;
}

/** Whether there is a block of zeros in the place of a header. */
export function isZeroBlock(bytes: Buffer, at: number): boolean {
  for (let i = at; i < at + blockBytes; i++) if (bytes[i] !== 0) return false;
  return true;
}

function text(bytes: Buffer, at: number, field: "name" | "linkname" | "prefix"): string {
  return untilNul(bytes, at + fields[field].at, fields[field].length);
}

/** The bytes before the first NUL, as a latin1 string. */
export function untilNul(bytes: Buffer, at: number, length: number): string {
  const nul = bytes.indexOf(0, at);
  return bytes.toString("latin1", at, nul < 0 || nul > at + length ? at + length : nul);
}
