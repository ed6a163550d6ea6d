import { closeSync, readlinkSync, readSync, type Stats } from "node:fs";
import { Readable } from "node:stream";
import type { Directory } from "../disk/directory.ts";
import { describe } from "../errors.ts";
import { fromLatin1 } from "../latin1.ts";
import { quote } from "../text.ts";

const chunkBytes = 64 * 1024;

/** Something of a layer that cannot be packed. */
export class PackError extends Error {
  override readonly name = "PackError";
}

/** The error about what stands at a path, its bytes in a latin1 string. */
export function cannotPack(path: string, error: unknown): PackError {
  if (error instanceof PackError) return error;
  return new PackError(`${quote(fromLatin1(path))}: ${describe(error)}`, { cause: error });
}

/**
 * Looks at a tree by way of open directories, so that no link leads out of it, whatever is swapped meanwhile. Paths are below
 * the root, their bytes in latin1 strings. The way to the last place stays open: a walk in order opens each directory once.
 * Throws PackErrors.
 */
export class TreeReader {
  readonly #root: Directory;
  readonly #way: { readonly name: string; readonly directory: Directory }[] = [];

  constructor(root: Directory) {
    this.#root = root;
  }

  /** All paths below one in the order of Go's filepath.Walk: each directory, then what is in it, by the bytes of names. */
  walk(top: string): string[] {
    const found: string[] = [];
    const pending = [top];
    for (let path = pending.pop(); path !== undefined; path = pending.pop()) {
      found.push(path);
      if (!this.stat(path).isDirectory()) continue;
      const names = this.#at(`${path}/.`, (directory) => directory.names(), path);
      for (const name of names.sort(Buffer.compare).reverse()) pending.push(`${path}/${name.toString("latin1")}`);
    }
    return found;
  }

  /** What stands at a path. Nothing is there, or what no layer may hold: an error. Sockets are let pass, for nobody packs them. */
  stat(path: string): Stats {
    return this.#at(path, (parent, name) => {
      const stat = parent.stat(name);
      if (stat === undefined) throw new Error("it is not there any more");
      if (stat.isFIFO()) throw new Error("it is a fifo, which no layer may hold");
      if (stat.isBlockDevice() || stat.isCharacterDevice()) throw new Error("it is a device, which no layer may hold");
      return stat;
    });
  }

  readLink(path: string): string {
    return this.#at(path, (parent, name) => readlinkSync(parent.at(name), { encoding: "buffer" }).toString("latin1"));
  }

  /** The first `size` bytes of a file. */
  read(path: string, size: number): Readable {
    const fd = this.#at(path, (parent, name) => parent.openFile(name));
    let left = size;
    return new Readable({
      read() {
        // Not at once: signals are heard between.
        setImmediate(() => {
          if (this.destroyed) return;
          try {
            const chunk = Buffer.allocUnsafe(Math.min(chunkBytes, left));
            const count = chunk.length === 0 ? 0 : readSync(fd, chunk);
            left -= count;
            this.push(count === 0 ? null : chunk.subarray(0, count));
          } catch (error) {
            this.destroy(cannotPack(path, error));
          }
        });
      },
      destroy(error, done) {
        closeSync(fd);
        done(error);
      },
    });
  }

  close(): void {
    this.#leave(0);
  }

  #at<T>(path: string, use: (parent: Directory, name: Buffer) => T, called = path): T {
    const names = path.split("/");
    const name = Buffer.from(names.pop() ?? "", "latin1");
    try {
      return use(this.#open(names), name);
    } catch (error) {
      throw cannotPack(called, error);
    }
  }

  #open(names: readonly string[]): Directory {
    const differs = names.findIndex((name, at) => this.#way[at]?.name !== name);
    this.#leave(differs < 0 ? names.length : differs);
    for (const name of names.slice(this.#way.length)) {
      const parent = this.#way.at(-1)?.directory ?? this.#root;
      this.#way.push({ name, directory: parent.open(Buffer.from(name, "latin1")) });
    }
    return this.#way.at(-1)?.directory ?? this.#root;
  }

  #leave(depth: number): void {
    for (const { directory } of this.#way.splice(depth)) directory.close();
  }
}
