import {
  closeSync,
  lstatSync,
  openSync,
  readdirSync,
  readlinkSync,
  readSync,
  renameSync,
  type Stats,
  writeSync,
} from "node:fs";
import { join } from "node:path";
import { joinBytes } from "./harness.ts";
import { headerOf, paddingOf, type TarEntry, tarTrailer } from "./tar-writer.ts";

export interface PackOptions {
  /** Mode of the directories above the layer. Default: 0755. */
  readonly parentMode?: number;
  /** Owner of the layer's entries. Default: 0. */
  readonly uid?: number;
  readonly gid?: number;
}

export interface PackedBlob {
  /** `sha256:<hex>` of the blob. */
  readonly diffId: string;
  readonly path: string;
  readonly size: number;
  readonly entries: number;
}

/**
 * Packs a tree as the layer called `name` (`/layers/<bp>/<layer>`) into `<directory>/<diffID>.tar`, byte for byte as
 * the exporter does: parents first, depth first in the order of bytes, absolute names without a slash at the end, one
 * mtime, a hard link as one more copy, PAX only where USTAR cannot hold a name.
 */
export function packLayer(directory: string, tree: string, name: string, options: PackOptions = {}): PackedBlob {
  const unnamed = join(directory, `.packing-${process.pid}-${Bun.nanoseconds()}`);
  const blob = new BlobWriter(unnamed);
  let entries = 0;
  const writeEntry = (entry: TarEntry, size = 0): void => {
    blob.write(headerOf(entry, size));
    entries++;
  };
  const { parentMode = 0o755, uid = 0, gid = 0 } = options;
  for (const parent of parentsOf(name)) writeEntry({ name: parent, type: "directory", mode: parentMode });

  const visit = (path: Buffer, shown: Buffer): void => {
    const stat = lstatSync(path);
    const common = { name: shown, mode: stat.mode & 0o7777, uid, gid };
    if (stat.isSymbolicLink()) {
      writeEntry({ ...common, type: "symlink", linkname: readlinkSync(path, { encoding: "buffer" }) });
    } else if (stat.isDirectory()) {
      writeEntry({ ...common, type: "directory" });
      const names = readdirSync(path, { encoding: "buffer" }).sort(Buffer.compare);
      for (const child of names) visit(joinBytes(path, child), joinBytes(shown, child));
    } else if (stat.isFile()) {
      writeEntry(common, stat.size);
      copyFile(path, stat, blob);
    } else {
      throw new Error(`cannot pack ${path}: neither a file, a directory nor a link`);
    }
  };
  visit(Buffer.from(tree), Buffer.from(name));
  blob.write(tarTrailer);
  const { diffId, size } = blob.close();
  const path = join(directory, `${diffId}.tar`);
  renameSync(unnamed, path);
  return { diffId, path, size, entries };
}

/** `/layers/bp/layer` → `/layers`, `/layers/bp`. */
function parentsOf(name: string): string[] {
  const parts = name.split("/").slice(1, -1);
  return parts.map((_, index) => `/${parts.slice(0, index + 1).join("/")}`);
}

function copyFile(path: Buffer, { size }: Stats, blob: BlobWriter): void {
  const fd = openSync(path, "r");
  try {
    if (blob.writeFrom(fd, size) !== size) throw new Error(`${path} changed while it was packed`);
  } finally {
    closeSync(fd);
  }
  blob.write(paddingOf(size));
}

/** Writes and hashes a blob through one large buffer, so that thousands of small entries cost few system calls. */
export class BlobWriter {
  readonly #fd: number;
  readonly #buffer = Buffer.allocUnsafe(4 * 1024 * 1024);
  readonly #hasher = new Bun.CryptoHasher("sha256");
  #used = 0;
  #size = 0;

  constructor(path: string) {
    this.#fd = openSync(path, "wx", 0o644);
  }

  write(bytes: Uint8Array): void {
    for (let rest = bytes; rest.length > 0; ) {
      const part = rest.subarray(0, this.#room());
      this.#buffer.set(part, this.#used);
      this.#used += part.length;
      rest = rest.subarray(part.length);
    }
  }

  /** Copies up to `size` bytes from a file; returns how many there were. */
  writeFrom(fd: number, size: number): number {
    let copied = 0;
    while (copied < size) {
      const room = this.#room();
      const n = readSync(fd, this.#buffer, this.#used, Math.min(room, size - copied), null);
      if (n === 0) break;
      this.#used += n;
      copied += n;
    }
    return copied;
  }

  close(): { diffId: string; size: number } {
    this.#flush();
    closeSync(this.#fd);
    return { diffId: `sha256:${this.#hasher.digest("hex")}`, size: this.#size };
  }

  #room(): number {
    if (this.#used === this.#buffer.length) this.#flush();
    return this.#buffer.length - this.#used;
  }

  #flush(): void {
    const bytes = this.#buffer.subarray(0, this.#used);
    this.#hasher.update(bytes);
    for (let done = 0; done < bytes.length; ) done += writeSync(this.#fd, bytes, done);
    this.#size += this.#used;
    this.#used = 0;
  }
}
