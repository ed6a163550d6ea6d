/** Archives whose bytes depend on nothing but their entries: no clock, no user, no order of a directory. */

/** A file or, without bytes, a directory; owned by root. */
export interface Entry {
  /** Relative, of at most 100 bytes, without a slash at the end. */
  readonly path: string;
  readonly mode: number;
  readonly bytes?: Uint8Array;
}

const block = 512;
/** As everywhere in buildpacks: 1980-01-01T00:00:01Z, in seconds since 1970. */
export const mtime = 315532801;

/** USTAR, in the order of the entries. */
export function tarOf(entries: readonly Entry[]): Buffer {
  const parts = entries.flatMap((entry) => {
    const bytes = entry.bytes ?? Buffer.alloc(0);
    return [headerOf(entry, bytes.length), bytes, Buffer.alloc((block - (bytes.length % block)) % block)];
  });
  return Buffer.concat([...parts, Buffer.alloc(2 * block)]);
}

function headerOf({ path, mode, bytes }: Entry, size: number): Buffer {
  const name = bytes === undefined ? `${path}/` : path;
  if (Buffer.byteLength(name) > 100) throw new Error(`${name} is too long a name for this archive`);
  const header = Buffer.alloc(block);
  const octal = (value: number, at: number, length: number) =>
    header.write(value.toString(8).padStart(length - 1, "0"), at, "latin1");
  header.write(name, "utf8");
  octal(mode, 100, 8);
  octal(0, 108, 8);
  octal(0, 116, 8);
  octal(size, 124, 12);
  octal(mtime, 136, 12);
  header.write(bytes === undefined ? "5" : "0", 156, "latin1");
  header.write("ustar\x0000root", 257, "latin1");
  header.write("root", 297, "latin1");
  // The checksum is taken with blanks in its own place.
  header.fill(" ", 148, 156);
  const sum = header.reduce((total, byte) => total + byte, 0);
  header.write(`${sum.toString(8).padStart(6, "0")}\0 `, 148, "latin1");
  return header;
}

/** As small as gzip gets in a few seconds; with no name and no time in it. */
export function gzip(bytes: Buffer): Buffer {
  const compressed = Bun.gzipSync(new Uint8Array(bytes.buffer as ArrayBuffer, bytes.byteOffset, bytes.length), {
    library: "libdeflate",
    level: 9,
  });
  return Buffer.from(compressed.buffer, compressed.byteOffset, compressed.length);
}

/** The SHA-256 of bytes, in hexadecimal. */
export function sha256(bytes: Uint8Array): string {
  return new Bun.CryptoHasher("sha256").update(bytes).digest("hex");
}
