import { closeSync } from "node:fs";
import * as v from "valibot";
import { lazily } from "../lazily.ts";
import { refuseInCache } from "./cache-places.ts";
import type { Directory } from "./directory.ts";
import { refuseMounts, removeTree } from "./removal.ts";
import { currentUser } from "./user.ts";
import { writeAll } from "./write.ts";

const prefix = "mark-";
const content = lazily(() => {
  const name = v.pipe(v.string(), v.regex(/^(?!\.{1,2}$)[^/\0]{1,255}$/));
  return v.object({ path: v.pipe(v.array(name), v.maxLength(1)), names: v.array(name) });
});
const mostBytes = 1 << 20;
let marks = 0;

/**
 * A note in a staging directory of what is being made outside of it, in its place: should the run be killed, the next one
 * removes that with the staging directory. Throws the system's errors.
 */
export class Mark {
  readonly #staging: Directory;
  readonly #name: string;

  /** `names` lie below `path`, the names of directories from the staging directory's parent on. */
  constructor(staging: Directory, path: readonly string[], names: readonly string[]) {
    marks += 1;
    this.#staging = staging;
    this.#name = `${prefix}${marks}`;
    const fd = staging.createFile(this.#name, 0o600);
    try {
      writeAll(fd, Buffer.from(JSON.stringify({ path, names })));
    } finally {
      closeSync(fd);
    }
  }

  /** What it names is complete, or gone. */
  remove(): void {
    this.#staging.unlink(this.#name);
  }
}

/**
 * Removes what the marks in a killed run's staging directory name, below its parent and links never followed. Only marks in
 * our own directory count: somebody else's may name anything. Throws the system's errors.
 */
export function removeMarked(parent: Directory, staging: string): void {
  using directory = parent.openIfThere(staging);
  if (directory?.ownStat().uid !== currentUser().uid) return;
  for (const { name } of directory.list().filter(({ name }) => name.startsWith(prefix))) {
    const mark = read(directory, name);
    if (mark === undefined) continue;
    const [first] = mark.path;
    using place = first === undefined ? parent.reopen() : parent.openIfThere(first);
    // What has been mounted there since is somebody else's.
    if (place === undefined || place.mountId !== parent.mountId) continue;
    refuseInCache(place);
    for (const each of mark.names) {
      refuseMounts(place, each);
      // Whatever a mark says, no toml stays without its layer.
      if (!each.endsWith(".toml")) removeTree(place, `${each}.toml`);
      removeTree(place, each);
    }
  }
}

/** What a mark says; nothing where it was not written to its end. */
function read(directory: Directory, name: string): v.InferOutput<ReturnType<typeof content>> | undefined {
  try {
    return v.parse(content(), JSON.parse(directory.read(name, mostBytes).toString()));
  } catch {
    return undefined;
  }
}
