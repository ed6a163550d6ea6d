/**
 * A raw tar writer, for what make-cache can never write: it puts down every byte it is told to, by default exactly what the
 * exporter's writer (Go's archive/tar) does, and on request what no sane writer would.
 */

/** Text is written as UTF-8; bytes as they are. */
export type Bytes = string | Uint8Array;

const typeflags = {
  file: "0",
  link: "1",
  symlink: "2",
  character: "3",
  block: "4",
  directory: "5",
  fifo: "6",
} as const;

export interface TarEntry {
  readonly name: Bytes;
  /** A kind, or `{ flag }` for any other typeflag. Default: file. */
  readonly type?: keyof typeof typeflags | { readonly flag: string };
  readonly mode?: number;
  readonly uid?: number;
  readonly gid?: number;
  /** Seconds since 1970. Default: the exporter's 1980-01-01T00:00:01Z. */
  readonly mtime?: number;
  readonly data?: Bytes;
  /** What the header says; default: the length of `data`. */
  readonly size?: number;
  readonly sizeEncoding?: "octal" | "base256";
  readonly linkname?: Bytes;
  /** Records of a PAX header (`x`) before the entry, beside those a long or non-ASCII name asks for. */
  readonly pax?: Readonly<Record<string, Bytes>>;
  /** Records of a PAX global header (`g`) before the entry. */
  readonly paxGlobal?: Readonly<Record<string, Bytes>>;
  /** How long names are written: `pax` as the exporter does, `gnu` with L and K entries, `none` cut off. */
  readonly longNames?: "pax" | "gnu" | "none";
  /** The magic: `ustar` as the exporter, `gnu`, or none (`v7`). */
  readonly format?: "ustar" | "gnu" | "v7";
  /** Changes the header block before its checksum is taken. */
  readonly tweak?: (header: Buffer) => void;
  /** Added to the checksum to make it wrong. */
  readonly checksumOff?: number;
}

export interface TarOptions {
  /** The two zero blocks at the end. Default: true. */
  readonly trailer?: boolean;
  /** Leaves out that many bytes at the end (applied before `append`). */
  readonly cut?: number;
  /** Follows the archive. */
  readonly append?: Bytes;
}

const exporterMtime = Date.UTC(1980, 0, 1, 0, 0, 1) / 1000;
const block = 512;
const nameLength = 100;
const prefixLength = 155;

/** A whole archive of these entries. */
export function tarOf(entries: readonly TarEntry[], { trailer = true, cut = 0, append = "" }: TarOptions = {}): Buffer {
  const parts = entries.flatMap((entry) => {
    const data = toBuffer(entry.data ?? "");
    return [headerOf(entry, data.length), data, paddingOf(data.length)];
  });
  if (trailer) parts.push(tarTrailer);
  const archive = Buffer.concat(parts);
  return Buffer.concat([archive.subarray(0, archive.length - cut), toBuffer(append)]);
}

export const tarTrailer = Buffer.alloc(2 * block);

/** The zeros after a file of `size` bytes. */
export function paddingOf(size: number): Buffer {
  return Buffer.alloc((block - (size % block)) % block);
}

/** An entry's header, with the L, K, x and g entries that belong before it. */
export function headerOf(entry: TarEntry, dataLength: number): Buffer {
  const name = latin1(entry.name);
  const linkname = latin1(entry.linkname ?? "");
  const longNames = entry.longNames ?? "pax";
  const split = longNames === "pax" ? splitName(name) : undefined;
  const pax = new Map(Object.entries(entry.pax ?? {}).map(([key, value]) => [key, latin1(value)]));
  const parts: Buffer[] = [];

  if (entry.paxGlobal !== undefined) parts.push(paxHeader("g", "GlobalHead.0.0", entry.paxGlobal));
  if (longNames === "gnu") {
    if (linkname.length > nameLength) parts.push(longLink("K", linkname));
    if (name.length > nameLength) parts.push(longLink("L", name));
  } else if (longNames === "pax") {
    // As Go: a long link target needs PAX, and then the name is not split but recorded whole.
    const linkNeedsPax = linkname.length > nameLength || !isAscii(linkname);
    if (linkNeedsPax) pax.set("linkpath", linkname);
    const nameNeedsPax = name.length > nameLength || !isAscii(name);
    if (nameNeedsPax && (split === undefined || linkNeedsPax || pax.size > 0)) pax.set("path", name);
  }
  if (pax.size > 0) {
    parts.push(paxHeader("x", paxName(name), Object.fromEntries([...pax].map(([k, v]) => [k, bytesOf(v)]))));
  }
  const usePax = pax.size > 0 && longNames === "pax";
  const [prefix, rest] = usePax ? ["", toAscii(name)] : (split ?? ["", name]);
  parts.push(mainHeader(entry, { prefix, name: rest, linkname: usePax ? toAscii(linkname) : linkname, dataLength }));
  return Buffer.concat(parts);
}

interface HeaderFields {
  readonly prefix: string;
  readonly name: string;
  readonly linkname: string;
  readonly dataLength: number;
}

function mainHeader(entry: TarEntry, { prefix, name, linkname, dataLength }: HeaderFields): Buffer {
  const header = Buffer.alloc(block);
  const type = entry.type ?? "file";
  const format = entry.format ?? "ustar";
  writeName(header, name, 0, nameLength);
  const defaultMode = type === "directory" ? 0o755 : type === "symlink" ? 0o777 : 0o644;
  writeOctal(header, entry.mode ?? defaultMode, 100, 8);
  writeOctal(header, entry.uid ?? 0, 108, 8);
  writeOctal(header, entry.gid ?? 0, 116, 8);
  writeSize(header, entry.size ?? dataLength, entry.sizeEncoding ?? "octal");
  writeOctal(header, entry.mtime ?? exporterMtime, 136, 12);
  header.write(typeof type === "string" ? typeflags[type] : type.flag, 156, 1, "latin1");
  writeName(header, linkname, 157, nameLength);
  if (format !== "v7") {
    header.write(format === "gnu" ? "ustar  \0" : "ustar\x0000", 257, "latin1");
    writeOctal(header, 0, 329, 8);
    writeOctal(header, 0, 337, 8);
  }
  if (prefix !== "") header.write(prefix, 345, prefixLength, "latin1");
  entry.tweak?.(header);
  writeChecksum(header, entry.checksumOff ?? 0);
  return header;
}

/** Bytes as a string of the same length: one character a byte. */
function latin1(bytes: Bytes): string {
  return toBuffer(bytes).toString("latin1");
}

function bytesOf(text: string): Buffer {
  return Buffer.from(text, "latin1");
}

function toBuffer(bytes: Bytes): Buffer {
  return Buffer.from(bytes);
}

function isAscii(text: string): boolean {
  return !/[\x80-\xff]/.test(text);
}

function toAscii(text: string): string {
  return text.replace(/[\x00\x80-\xff]/g, "");
}

/** The USTAR prefix and name of a long ASCII name, where a slash is in the right place. */
function splitName(name: string): [string, string] | undefined {
  if (name.length <= nameLength || !isAscii(name)) return undefined;
  const end = name.length > prefixLength + 1 ? prefixLength + 1 : name.endsWith("/") ? name.length - 1 : name.length;
  const slash = name.lastIndexOf("/", end - 1);
  const rest = name.length - slash - 1;
  if (slash <= 0 || rest > nameLength || rest === 0) return undefined;
  return [name.slice(0, slash), name.slice(slash + 1)];
}

function writeName(header: Buffer, name: string, offset: number, length: number): void {
  header.write(name.slice(0, length), offset, length, "latin1");
  // A cut that ends in a slash would make a file look like a directory to old readers.
  if (name.length > length && name[length - 1] === "/") {
    header[offset + name.slice(0, length).replace(/\/+$/, "").length] = 0;
  }
}

function writeOctal(header: Buffer, value: number, offset: number, length: number): void {
  header.write(value.toString(8).padStart(length - 1, "0"), offset, length, "latin1");
}

function writeSize(header: Buffer, size: number, encoding: "octal" | "base256"): void {
  if (encoding === "octal") {
    writeOctal(header, size, 124, 12);
    return;
  }
  header.writeBigUInt64BE(BigInt.asUintN(64, BigInt(size)), 128);
  header.fill(size < 0 ? 0xff : 0, 124, 128);
  header[124] = size < 0 ? 0xff : 0x80;
}

function writeChecksum(header: Buffer, off: number): void {
  header.fill(" ", 148, 156);
  const sum = header.reduce((total, byte) => total + byte, 0) + off;
  header.write(`${sum.toString(8).padStart(6, "0")}\0 `, 148, 8, "latin1");
}

/** `<dir>/PaxHeaders.0/<file>`: the name under which a reader without PAX would see the records. */
function paxName(name: string): string {
  const slash = name.lastIndexOf("/");
  const path = `${name.slice(0, slash + 1)}PaxHeaders.0/${name.slice(slash + 1)}`;
  return toAscii(path).slice(0, nameLength).replace(/\/+$/, "");
}

function paxHeader(flag: "x" | "g", name: string, records: Readonly<Record<string, Bytes>>): Buffer {
  const sorted = Object.entries(records).sort(([a], [b]) => (a < b ? -1 : 1));
  return extraEntry(flag, name, sorted.map(([key, value]) => paxRecord(key, latin1(value))).join(""), "ustar");
}

/** `<length> <key>=<value>\n`, where the length counts itself. */
function paxRecord(key: string, value: string): string {
  const rest = ` ${key}=${value}\n`;
  let length = rest.length + String(rest.length).length;
  if (String(length).length + rest.length !== length) length = String(length).length + rest.length;
  return `${length}${rest}`;
}

function longLink(flag: "L" | "K", name: string): Buffer {
  return extraEntry(flag, "././@LongLink", `${name}\0`, "gnu");
}

function extraEntry(flag: string, name: string, text: string, format: "ustar" | "gnu"): Buffer {
  const data = bytesOf(text);
  const fields = { prefix: "", name, linkname: "", dataLength: data.length };
  const tweak = (header: Buffer): void => {
    // Go leaves the device numbers of these entries empty.
    header.fill(0, 329, 345);
  };
  const header = mainHeader({ name, type: { flag }, mode: 0, mtime: 0, format, tweak }, fields);
  return Buffer.concat([header, data, paddingOf(data.length)]);
}
