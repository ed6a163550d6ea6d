/** Blobs as a cache gives them: open files, and streams that come in pieces. */
import { openSync, writeFileSync } from "node:fs";
import type { ExtractionTarget } from "../../lib/archive/extract.ts";
import type { LayerSource, SmallSource } from "../../lib/archive/source.ts";
import type { TarHandler } from "../../lib/archive/tar.ts";
import type { TempDir } from "./harness.ts";
import { tarOf } from "./raw-tar.ts";
import { digestOf } from "./test-image.ts";

let count = 0;

/** The archive of a layer with a file and a link. */
export const layer = (data: string | Uint8Array = "content") =>
  Buffer.from(
    tarOf([
      { name: "/layers/bp/l", type: "directory" },
      { name: "/layers/bp/l/file", data },
      { name: "/layers/bp/l/link", type: "symlink", linkname: "file" },
    ]),
  );

/** A blob that comes in pieces, each in a buffer of its own, as those of a download do. */
export function stream(blob: Uint8Array, { digest = digestOf(blob), pieceBytes = 1000 } = {}): LayerSource {
  async function* chunks(): AsyncGenerator<Uint8Array> {
    for (let at = 0; at < blob.length; at += pieceBytes) yield Uint8Array.from(blob.subarray(at, at + pieceBytes));
  }
  return { kind: "stream", chunks: chunks(), size: blob.length, digest };
}

/** A blob in an open file below `dir`, which messages call `blob.tar`. */
export function blobFile(dir: TempDir, blob: Uint8Array): SmallSource {
  const path = dir.join(`blob-${count++}`);
  writeFileSync(path, blob);
  return { kind: "file", fd: openSync(path, "r"), size: blob.length, path: "blob.tar" };
}

/** Where the layer `bp:l` is extracted to, on an ordinary file system. */
export const targetAt = (root: string): ExtractionTarget => ({
  root,
  anchor: ["bp", "l"],
  layersDir: "/layers",
  umask: 0o022,
  writesBehind: false,
  inheritsGroup: false,
  keepsModes: true,
});

/** Writes down what a blob holds. */
export class Notes implements TarHandler {
  readonly lines: string[] = [];
  entry: TarHandler["entry"] = ({ type, path }) => this.lines.push(`${type} ${path}`);
  data: TarHandler["data"] = (chunk) => this.lines.push(`${Buffer.from(chunk)}`);
  endFile: TarHandler["endFile"] = () => this.lines.push("end");
}
