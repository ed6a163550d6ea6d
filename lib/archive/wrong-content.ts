import { quote, thousands } from "../text.ts";
import { BlobError, fileReader } from "./blob-file.ts";
import type { LayerSource } from "./source.ts";
import { blockBytes, isZeroBlock, sizeOf, typeflagOf, verifyChecksum } from "./tar-header.ts";

/** What is told of a blob: of a stream all but its bytes. */
export type Described =
  | Extract<LayerSource, { kind: "file" }>
  | Omit<Extract<LayerSource, { kind: "stream" }>, "chunks">;

/** Headers that are followed to find out where an archive should end. */
const mostHeaders = 100_000;

/** Magic numbers of what people compress with. */
const compressions: Readonly<Record<string, string>> = {
  gzip: "1f8b",
  zstd: "28b52ffd",
  xz: "fd377a585a00",
  bzip2: "425a68",
};

/** The error for a blob whose archive is not the layer that it should be: the one place where that is put into words. */
export function wrongContent(source: Described, found: string, expected: string): BlobError {
  if (source.kind === "file" && source.isSecret === true) {
    const why = "another digest, which is not told, for not everybody may read it";
    return new BlobError(`its content has ${why}, not ${expected}: ${quote(source.path)}`);
  }
  const what = source.kind === "file" ? quote(source.path) : `blob ${source.digest}`;
  const looks = source.kind === "file" ? lookAt(source.fd, source.size) : undefined;
  const details = `${what} has ${thousands(source.size)} bytes${looks === undefined ? "" : ` and ${looks}`}`;
  return new BlobError(`its content has the digest ${found}, not ${expected}: ${details}`);
}

/** What an open file that should be a layer's archive looks like; undefined where it cannot be read any more. */
function lookAt(fd: number, size: number): string | undefined {
  if (size === 0) return "is empty";
  const read = fileReader(fd);
  const block = Buffer.alloc(blockBytes);
  try {
    read(block, 0);
    const compression = Object.keys(compressions).find((name) => startsWith(block, compressions[name] ?? ""));
    if (compression !== undefined) return `is ${compression}-compressed, a volume cache's layers are not`;
    return followHeaders((at) => (read(block, at) === blockBytes ? block : undefined), size);
  } catch {
    return undefined;
  }
}

/** Follows the headers of a tar archive from one to the next. */
function followHeaders(header: (at: number) => Buffer | undefined, size: number): string {
  let at = 0;
  for (let count = 0; count < mostHeaders; count++) {
    const block = header(at);
    if (block === undefined) return endsEarly(size, at === size ? at : at + blockBytes);
    if (isZeroBlock(block, 0)) return at === 0 ? "begins with zeros" : wholeButOther;
    try {
      verifyChecksum(block, 0);
      at += blockBytes + contentBytes(block);
    } catch {
      return at === 0 ? "is not a tar archive" : `is damaged: no header at byte ${thousands(at)}`;
    }
    if (at > size) return endsEarly(size, at);
  }
  return wholeButOther;
}

const wholeButOther = "is complete by its own headers, so that bytes in it were changed, or it is another layer";

/** Bytes that follow a header, padding included. */
function contentBytes(header: Buffer): number {
  const hasContent = !["1", "2", "5"].includes(typeflagOf(header, 0));
  return hasContent ? Math.ceil(sizeOf(header, 0) / blockBytes) * blockBytes : 0;
}

/** Two blocks of zeros would follow. */
function endsEarly(size: number, end: number): string {
  return `ends early: ${thousands(size)} of ${thousands(end + 2 * blockBytes)} bytes by its own headers`;
}

function startsWith(bytes: Buffer, magic: string): boolean {
  return bytes.toString("hex", 0, magic.length / 2) === magic;
}
