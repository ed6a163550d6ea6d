/** An entry of a layer's archive. Names are bytes in a latin1 string, so that any byte survives. */
export interface PackedEntry {
  readonly name: string;
  readonly type: "file" | "directory" | "symlink";
  /** Permission bits, setuid, setgid and sticky included. */
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  /** Bytes of content; only files have any. */
  readonly size: number;
  /** The target of a symbolic link. */
  readonly linkname: string;
}

const blockBytes = 512;
const maxName = 100;
const maxPrefix = 155;
/** 1980-01-01T00:00:01Z, which every exporter gives every file. */
const modified = Date.UTC(1980, 0, 1, 0, 0, 1) / 1000;
const typeflags = { file: "0", symlink: "2", directory: "5" } as const;

/** The two blocks of zeros that end an archive. */
export const endOfArchive: Uint8Array = new Uint8Array(2 * blockBytes);

/** The zeros behind a content. */
export function paddingOf(size: number): Uint8Array {
  return endOfArchive.subarray(0, (blockBytes - (size % blockBytes)) % blockBytes);
}

/**
 * The header of an entry, byte for byte as Go's archive/tar writes it for the exporter: USTAR, or, where that cannot hold
 * something, PAX with one record for each such thing and no others.
 */
export function headerOf(entry: PackedEntry): Uint8Array {
  const { name, linkname } = entry;
  const split = splitName(name);
  const records = new Map<string, string>();
  let isUstar = true;
  const check = (key: string, value: string, fits: boolean, isSplit = false) => {
    if (fits) return;
    records.set(key, value);
    isUstar &&= isSplit;
  };
  check("gid", String(entry.gid), fitsOctal(entry.gid, 8));
  check("linkpath", linkname, isAscii(linkname) && linkname.length <= maxName);
  check("path", name, isAscii(name) && name.length <= maxName, split !== undefined);
  check("size", String(entry.size), fitsOctal(entry.size, 12));
  check("uid", String(entry.uid), fitsOctal(entry.uid, 8));
  if (isUstar) {
    const [prefix, rest] = split ?? ["", name];
    return mainHeader({ ...entry, name: rest }, prefix);
  }
  const shown = { ...entry, name: toAscii(name), linkname: toAscii(linkname) };
  return Buffer.concat([paxHeader(name, records), mainHeader(shown, "")]);
}

function mainHeader(entry: PackedEntry, prefix: string): Buffer {
  const header = Buffer.alloc(blockBytes);
  writeText(header, entry.name, 0, maxName);
  writeOctal(header, entry.mode, 100, 8);
  writeOctal(header, entry.uid, 108, 8);
  writeOctal(header, entry.gid, 116, 8);
  writeOctal(header, entry.size, 124, 12);
  writeOctal(header, modified, 136, 12);
  header.write(typeflags[entry.type], 156, "latin1");
  writeText(header, entry.linkname, 157, maxName);
  writeOctal(header, 0, 329, 8);
  writeOctal(header, 0, 337, 8);
  writeText(header, prefix, 345, maxPrefix);
  return finish(header);
}

/** The records, as the content of an entry of its own before the one that they are about. */
function paxHeader(name: string, records: ReadonlyMap<string, string>): Buffer {
  const sorted = [...records].sort(([a], [b]) => (a < b ? -1 : 1));
  const content = Buffer.from(sorted.map(([key, value]) => paxRecord(key, value)).join(""), "latin1");
  const header = Buffer.alloc(blockBytes);
  writeText(header, paxName(name), 0, maxName);
  writeOctal(header, 0, 100, 8);
  writeOctal(header, 0, 108, 8);
  writeOctal(header, 0, 116, 8);
  writeOctal(header, content.length, 124, 12);
  writeOctal(header, 0, 136, 12);
  header.write("x", 156, "latin1");
  return Buffer.concat([finish(header), content, paddingOf(content.length)]);
}

/** `<dir>/PaxHeaders.0/<file>`: what a reader without PAX would call the file of records. */
function paxName(name: string): string {
  const slash = name.lastIndexOf("/");
  const path = toAscii(`${name.slice(0, slash + 1)}PaxHeaders.0/${name.slice(slash + 1)}`);
  return path.slice(0, maxName).replace(/\/+$/, "");
}

/** `<length> <key>=<value>\n`; the length counts itself. */
function paxRecord(key: string, value: string): string {
  const rest = ` ${key}=${value}\n`;
  let length = rest.length;
  while (String(length).length + rest.length !== length) length = String(length).length + rest.length;
  return `${length}${rest}`;
}

/** Prefix and name of USTAR, where a slash of a long name is in the right place. */
function splitName(name: string): [prefix: string, rest: string] | undefined {
  if (name.length <= maxName || !isAscii(name)) return undefined;
  const slash = name.slice(0, maxPrefix + 1).lastIndexOf("/");
  const rest = name.length - slash - 1;
  return slash <= 0 || rest > maxName || rest === 0 ? undefined : [name.slice(0, slash), name.slice(slash + 1)];
}

function finish(header: Buffer): Buffer {
  header.write("ustar\x0000", 257, "latin1");
  header.fill(" ", 148, 156);
  let sum = 0;
  for (const byte of header) sum += byte;
  header.write(`${sum.toString(8).padStart(6, "0")}\0 `, 148, "latin1");
  return header;
}

function writeText(header: Buffer, text: string, at: number, length: number): void {
  header.write(text.slice(0, length), at, length, "latin1");
  // A name that is cut behind a slash would look like a directory's to old readers.
  if (text.length > length && text[length - 1] === "/") {
    header[at + text.slice(0, length).replace(/\/+$/, "").length] = 0;
  }
}

function writeOctal(header: Buffer, value: number, at: number, length: number): void {
  const digits = fitsOctal(value, length) ? value.toString(8) : "0";
  header.write(digits.padStart(length - 1, "0"), at, "latin1");
}

/** Whether a number fits into a field, behind which a NUL stands. */
function fitsOctal(value: number, length: number): boolean {
  return value < 8 ** (length - 1);
}

function isAscii(text: string): boolean {
  return !/[\x80-\xff]/.test(text);
}

function toAscii(text: string): string {
  return text.replace(/[\x80-\xff]/g, "");
}
