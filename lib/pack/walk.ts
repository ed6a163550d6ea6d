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
 * and directory, and returns where the content of a file goes. Rejects where something goes wrong, or is none of these.
 */
export async function walk(
  tree: TreeReader,
  path: string,
  onFile: (file: FoundFile) => Writable | undefined,
): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const going = new Walk(reject);
  pack(root, {
    entries: tree.walk(path),
    umask: 0,
    fs: sourceOf(tree, going),
    pack: sinkOf(onFile, going, resolve),
  });
  await promise;
}

/** A walk under way. What tar-fs throws when it is told something, nobody else would catch: that fails the walk. */
class Walk {
  isOver = false;
  readonly #reject: (error: unknown) => void;

  constructor(reject: (error: unknown) => void) {
    this.#reject = reject;
  }

  readonly fail = (error: unknown): void => {
    this.isOver = true;
    this.#reject(error);
  };

  tell<T>(done: Done<T>, error: unknown, value?: T): void {
    try {
      done(error, value);
    } catch (thrown) {
      this.fail(thrown);
    }
  }

  /** Tells what `ask` gives, or throws. */
  answer<T>(done: Done<T>, ask: () => T): void {
    let value: T;
    try {
      value = ask();
    } catch (error) {
      this.tell(done, error);
      return;
    }
    this.tell(done, null, value);
  }
}

/** Where tar-fs reads from. */
function sourceOf(tree: TreeReader, going: Walk): Options["fs"] {
  const below = (absolute: string) => absolute.slice(root.length + 1);
  return {
    lstat: (at, done) => going.answer(done, () => tree.stat(below(at))),
    // All are in `entries`: tar-fs would put off what is in directories.
    readdir: (_at, done) => going.tell(done, null, []),
    readlink: (at, done) => going.answer(done, () => tree.readLink(below(at))),
    createReadStream: (at, { end }) => {
      try {
        return tree.read(below(at), end + 1);
      } catch (error) {
        return broken(new Readable(), error);
      }
    },
  };
}

/** Where tar-fs puts entries. */
function sinkOf(onFile: (file: FoundFile) => Writable | undefined, going: Walk, finalize: () => void): Options["pack"] {
  return {
    get destroyed() {
      return going.isOver;
    },
    entry: (file, done) => {
      // Not at once: signals are heard between.
      const soon = (error: unknown) => void setImmediate(() => going.tell(done, error));
      try {
        const content = onFile(file);
        if (content === undefined) soon(null);
        else content.on("close", () => going.tell(done, content.errored));
        return content;
      } catch (error) {
        soon(error);
        return broken(new Writable(), error);
      }
    },
    finalize,
    destroy: going.fail,
  };
}

/** In the place of a stream that could not be had: tar-fs wants one in any case. */
function broken<S extends Readable | Writable>(stream: S, error: unknown): S {
  stream.on("error", () => {});
  stream.destroy(error instanceof Error ? error : new Error(String(error)));
  return stream;
}
