import { closeSync, fstatSync } from "node:fs";
import { describe, hasCode, isRefused } from "../errors.ts";
import { RestorerError } from "../failures.ts";
import type { Log } from "../log.ts";
import { quote } from "../text.ts";
import { type CachePlaces, cachePlaces, liesIn } from "./cache-places.ts";
import { Directory, giveHandle } from "./directory.ts";
import { type Identity, keyOf } from "./identity.ts";
import { mountIdOf } from "./mounts.ts";
import { openNested } from "./nested.ts";
import { permits, type User } from "./permissions.ts";
import { type Visitor, walkTree } from "./walk.ts";

/**
 * Gives the layers directory and the kaniko directory, where there is one, to the user who will write there (contract §6).
 * Throws RestorerErrors (exit 1).
 */
export function handOver(layers: Directory, places: HandedOver, user: User, log: Log): void {
  const cache = cachePlaces(places.cacheDirs);
  giveTo(layers, user, log, cache);
  const kaniko = openIfThere(places.kanikoDir, places.layersDir);
  if (kaniko === undefined) return;
  giveTo(kaniko, user, log, cache);
  kaniko.close();
}

interface HandedOver {
  readonly layersDir: string;
  readonly kanikoDir: string;
  /** Never given to anybody. */
  readonly cacheDirs: readonly string[];
}

function openIfThere(path: string, shared: string): Directory | undefined {
  try {
    return openNested(path, [shared]);
  } catch (error) {
    if (hasCode(error, "ENOENT")) return undefined;
    throw new RestorerError(`open ${quote(path)}: ${describe(error)}`, { cause: error });
  }
}

/**
 * Gives a directory with all that is in it to a user (contract §6), unless it is the user's own or writable for them
 * already. Links are not followed, modes not changed, mounts not entered, and files with further names (hard links) left
 * alone, since those names may lie anywhere. The cache is left alone, wherever it lies. Throws RestorerErrors (exit 1).
 */
export function giveTo(directory: Directory, user: User, log: Log, cache: CachePlaces): void {
  const { root, contents, linked } = cache;
  try {
    if (permits(directory.ownStat(), user, 0o3)) return;
    const isOfCache = root.some((place) => directory.isSame(place)) || liesIn(directory, contents);
    if (isOfCache) {
      log.warn(`Not giving ${quote(directory.path)} to user ${user.uid}: the cache is there`, "ownership");
      return;
    }
    // What root may not look into either it gives away first, and then looks as that user.
    if (!directory.isOpenToUs) giveUnlessOwn(directory, user);
    walkTree(directory, new Giving(user, log, [...root, ...contents, ...linked]));
    giveUnlessOwn(directory, user);
  } catch (error) {
    const what = `give ${quote(directory.path)} to user ${user.uid}:${user.gid}`;
    const advice = hasCode(error, "EROFS") ? "Mount it writable." : isRefused(error) ? hint : undefined;
    throw new RestorerError(`${what}: ${describe(error)}`, { cause: error, ...(advice && { hint: advice }) });
  }
}

const hint =
  "To change owners (chown) root needs CAP_CHOWN, and a file system that allows it. A directory that is writable for that user already needs no change.";

/** Only where it must be: where it may not, as on NFS, there is no need to fail. */
function giveUnlessOwn(directory: Directory, user: User): void {
  if (!isOwn(directory.ownStat(), user)) directory.give(user.uid, user.gid);
}

function isOwn(stat: User, user: User): boolean {
  return stat.uid === user.uid && stat.gid === user.gid;
}

class Giving implements Visitor {
  readonly #user: User;
  readonly #log: Log;
  readonly #except: ReadonlySet<string>;

  constructor(user: User, log: Log, except: readonly Identity[]) {
    this.#user = user;
    this.#log = log;
    this.#except = new Set(except.map(keyOf));
  }

  entry(parent: Directory, name: Buffer): Directory | undefined {
    // What is checked and what is changed must be the same thing, whatever happens to its name meanwhile.
    const fd = parent.handle(name);
    if (fd === undefined) return undefined;
    try {
      const stat = fstatSync(fd);
      if (this.#except.has(keyOf(stat))) return undefined;
      const path = `${parent.path}/${name}`;
      if (stat.isDirectory()) return this.#enter(fd, path);
      if (isOwn(stat, this.#user)) return undefined;
      // Files can be mount points, too.
      if (mountIdOf(fd) !== parent.mountId) this.mounted(parent, name);
      else if (stat.nlink > 1 && stat.uid !== this.#user.uid) {
        this.#log.warn(
          `Not giving ${quote(path)} to user ${this.#user.uid}: it has other names (hard links)`,
          "ownership",
        );
      } else {
        giveHandle(fd, this.#user.uid, this.#user.gid);
      }
      return undefined;
    } finally {
      closeSync(fd);
    }
  }

  leave(_parent: Directory, _name: unknown, directory: Directory): void {
    giveUnlessOwn(directory, this.#user);
  }

  #enter(fd: number, path: string): Directory {
    const directory = Directory.open(`/proc/self/fd/${fd}`, path, true);
    if (!directory.isOpenToUs) giveUnlessOwn(directory, this.#user);
    return directory;
  }

  mounted(parent: Directory, name: Buffer): void {
    const path = quote(`${parent.path}/${name}`);
    this.#log.warn(`Not giving ${path} to user ${this.#user.uid}: something is mounted there`, "ownership");
  }
}
