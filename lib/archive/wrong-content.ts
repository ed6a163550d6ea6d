import { hiddenDigest } from "../disk/read-file.ts";
import { count, quote, thousands } from "../text.ts";
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

/**
 * The error for a blob whose archive is not the layer that it should be: the one place where that is put into words. `start`
 * is the archive's first block, or all of a shorter one.
 */
export function wrongContent(source: Described, found: string, expected: string, start: Buffer): BlobError {
  const problem = `its content has ${source.isSecret ? hiddenDigest : `the digest ${found}`}, not ${expected}`;
  if (source.isSecret) return new BlobError(`${problem}: ${describeBlob(source)}`);
  const looks = source.kind === "file" ? lookAt(source.fd, source.size) : lookAtStart(start);
  return new BlobError(`${problem}: ${describeBlob(source)}${looks === undefined ? "" : ` and ${looks}`}`);
}

/** What is wrong with a blob, with its name and size where its name is not told yet. */
export function namingBlob(source: Described, problem: string): string {
  const names = source.kind === "file" ? [source.path, quote(source.path)] : [source.digest];
  return names.some((name) => problem.includes(name)) ? problem : `${problem}: ${describeBlob(source)}`;
}

/** A blob's name and size; of a secret one the name alone. */
function describeBlob(source: Described): string {
  const name = source.kind === "file" ? quote(source.path) : `blob ${source.digest}`;
  return source.isSecret ? name : `${name} has ${count(source.size, "byte")}`;
}

/** What a stream's archive looks like by its first block; undefined where that is a header. */
function lookAtStart(start: Buffer): string | undefined {
  if (start.length === 0) return "is empty";
  const compression = compressionOf(start);
  if (compression !== undefined) return `is ${compression}-compressed, which is not supported for layers of images`;
  return isHeader(start) || isZeroBlock(start, 0) ? undefined : "is not a tar archive";
}

function isHeader(block: Buffer): boolean {
  if (block.length < blockBytes) return false;
  try {
    verifyChecksum(block, 0);
    return true;
  } catch {
    return false;
  }
}

function compressionOf(start: Buffer): string | undefined {
  return Object.keys(compressions).find((name) => startsWith(start, compressions[name] ?? ""));
}

/** What an open file that should be a layer's archive looks like; undefined where it cannot be read any more. */
function lookAt(fd: number, size: number): string | undefined {
  if (size === 0) return "is empty";
  const read = fileReader(fd);
  const block = Buffer.alloc(blockBytes);
  try {
    read(block, 0);
    const compression = compressionOf(block);
    if (compression !== undefined) return `is ${compression}-compressed, a volume cache's layers are not`;
    return followHeaders((at) => block.subarray(0, read(block, at)), size);
  } catch {
    return undefined;
  }
}

/** Follows the headers of a tar archive from one to the next. */
function followHeaders(blockAt: (at: number) => Buffer, size: number): string {
  if (size < blockBytes) return `is too short for a tar archive`;
  let at = 0;
  for (let count = 0; count < mostHeaders; count++) {
    const block = blockAt(at);
    if (block.length < blockBytes) return endsEarly(size, at === size ? at : at + blockBytes);
    if (isZeroBlock(block, 0)) return at === 0 ? "begins with zeros" : lookBehind(blockAt, at + blockBytes);
    if (!isHeader(block)) {
      return at === 0 ? "is not a tar archive" : `is damaged: no header at byte ${thousands(at)}`;
    }
    at += blockBytes + contentBytes(block);
    if (at > size) return endsEarly(size, at);
  }
  return wholeButOther;
}

/** Behind the first block of zeros, which ends an archive, comes another one, and no more than that. */
function lookBehind(blockAt: (at: number) => Buffer, start: number): string {
  let end = start;
  for (let blocks = 0; blocks < mostHeaders; blocks++) {
    const block = blockAt(end);
    const byte = block.findIndex((value) => value !== 0);
    if (byte !== -1) return `goes on after the end of its archive, at byte ${thousands(end + byte)}`;
    end += block.length;
    if (block.length < blockBytes) break;
  }
  const more = end - start - blockBytes;
  return more > 0 && end % recordBytes !== 0
    ? `goes on for ${count(more, "byte")} of zeros after the end of its archive`
    : wholeButOther;
}

/** What many programs fill an archive up to, as on a tape. */
const recordBytes = 10_240;

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
