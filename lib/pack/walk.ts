import type { Stats } from "node:fs";
import { Readable, Writable } from "node:stream";
import * as tarFs from "tar-fs";
import type { TreeReader } from "./tree-reader.ts";

/** What tar-fs makes of a file; `name` is its path below the layers directory. */
interface FoundFile {
  readonly name: string;
  readonly type: "file" | "directory" | "symlink";
  readonly mode: number;
  readonly size: number;
  /** The target of a symbolic link. */
  readonly linkname?: string;
}

type Done<T = undefined> = (error: unknown, value?: T) => void;

/** What its types leave out: where it reads from, and where entries go. */
interface Options {
  readonly entries: readonly string[];
  readonly umask: number;
  readonly fs: {
    lstat(path: string, done: Done<Stats>): void;
    readdir(path: string, done: Done<readonly string[]>): void;
    readlink(path: string, done: Done<string>): void;
    createReadStream(path: string, range: { readonly end: number }): Readable;
  };
  readonly pack: {
    readonly destroyed: boolean;
    entry(file: FoundFile, done: Done): Writable | undefined;
    finalize(): void;
    destroy(error: unknown): void;
  };
}

/** Not a place: tar-fs wants an absolute path, whose files it then asks for. */
const root = "/layers";

const pack = tarFs.pack as unknown as (root: string, options: Options) => void;

/**
 * Has tar-fs go through what stands at a path, and reads it by a TreeReader, in the order of that. `onFile` gets every file, link
 * and directory, and returns where the content of a file goes. Rejects with what goes wrong, and with what is neither of these.
 */
export function walk(tree: TreeReader, path: string, onFile: (file: FoundFile) => Writable | undefined): Promise<void> {
  return new Promise((resolve, reject) => {
    const below = (absolute: string) => absolute.slice(root.length + 1);
    let isOver = false;
    const fail = (error: unknown) => {
      isOver = true;
      reject(error);
    };
    // What tar-fs throws when it is told something, nobody else would catch.
    const tell = <T>(done: Done<T>, error: unknown, value?: T) => {
      try {
        done(error, value);
      } catch (thrown) {
        fail(thrown);
      }
    };
    const answer = <T>(done: Done<T>, ask: () => T) => {
      let value: T;
      try {
        value = ask();
      } catch (error) {
        return tell(done, error);
      }
      tell(done, null, value);
    };
    pack(root, {
      entries: tree.walk(path),
      umask: 0,
      fs: {
        lstat: (at, done) => answer(done, () => tree.stat(below(at))),
        // All are in `entries`: tar-fs would put off what is in directories.
        readdir: (_at, done) => tell(done, null, []),
        readlink: (at, done) => answer(done, () => tree.readLink(below(at))),
        createReadStream: (at, { end }) => {
          try {
            return tree.read(below(at), end + 1);
          } catch (error) {
            return broken(new Readable(), error);
          }
        },
      },
      pack: {
        get destroyed() {
          return isOver;
        },
        entry: (file, done) => {
          try {
            const content = onFile(file);
            // Not at once: signals are heard between.
            if (content === undefined) setImmediate(tell, done, null);
            else content.on("close", () => tell(done, content.errored));
            return content;
          } catch (error) {
            setImmediate(tell, done, error);
            return broken(new Writable(), error);
          }
        },
        finalize: resolve,
        destroy: fail,
      },
    });
  });
}

/** In the place of a stream that could not be had: tar-fs wants one in any case. */
function broken<S extends Readable | Writable>(stream: S, error: unknown): S {
  stream.on("error", () => {});
  stream.destroy(error instanceof Error ? error : new Error(String(error)));
  return stream;
}
