import { closeSync, fstatSync, utimesSync } from "node:fs";
import { describe, isRefused } from "../errors.ts";
import type { Log } from "../log.ts";
import type { Directory } from "./directory.ts";
import { makeFresh, probe } from "./fresh-directory.ts";
import { type Identity, isSame } from "./identity.ts";
import { Mark, removeMarked } from "./mark.ts";
import { changeMode } from "./modes.ts";
import { moveFile, refusesDirectoryRename } from "./move.ts";
import { isLeftBehind, isPrivateName, privateName } from "./private-names.ts";
import { emptyDirectory, refuseMounts, removeTree } from "./removal.ts";
import { sync } from "./sync.ts";
import { copyAll, writeAll } from "./write.ts";

const heartbeatMs = 1_000;

/** A place in a staging directory that nothing has yet. */
export interface Slot {
  readonly name: string;
  /** For whoever makes something there; it leads through the staging directory's handle. */
  readonly path: string;
}

/**
 * A private directory inside `parent` where layers are made before they are moved into place by rename. Its name says
 * whose it is, so that what a killed run leaves behind can be told from what another one is working on.
 */
export class Staging {
  readonly directory: Directory;
  /** Whether its file system may report only after a write, when synced, that it could not write. */
  readonly writesBehind: boolean;
  /** Whether what is made in it gets the group of its parent, which has setgid, and directories setgid, too (D22). */
  readonly inheritsGroup: boolean;
  /** Whether what is made in it has the mode that it is made with: a default ACL may take bits away. */
  readonly keepsModes: boolean;
  readonly #parent: Directory;
  readonly #name: string;
  readonly #identity: Identity;
  readonly #timer: NodeJS.Timeout;
  #slots = 0;
  #movesDirectories = true;

  constructor(parent: Directory) {
    this.#parent = parent;
    this.#name = privateName();
    this.directory = makeFresh(parent, this.#name, 0o700);
    this.#identity = this.directory.identity;
    this.inheritsGroup = parent.groupForContents !== undefined;
    // A default ACL may have changed it.
    if (!this.inheritsGroup) this.directory.ensureMode(0o700);
    this.writesBehind = this.directory.writesBehind;
    this.keepsModes = keepsModes(this.directory);
    this.#timer = setInterval(() => this.#beat(), heartbeatMs);
    this.#timer.unref();
  }

  /** Whether its file system renames directories, as far as is known: object stores mounted by FUSE do not. */
  get movesDirectories(): boolean {
    return this.#movesDirectories;
  }

  /** A fresh place. No name ends like one that a buildpack or the exporter would look at. */
  slot(): Slot {
    this.#slots += 1;
    const name = `s${this.#slots}`;
    return { name, path: this.directory.at(name) };
  }

  /** Makes a file in a slot. */
  write(content: Uint8Array, mode: number): Slot {
    const slot = this.slot();
    const fd = this.directory.createFile(slot.name, mode);
    try {
      writeAll(fd, content);
      this.#keepMode(fd, mode);
      // Nowhere else: on the disk before its layer, it would outlive a power cut that the layer does not.
      if (this.writesBehind) sync(fd);
    } finally {
      closeSync(fd);
    }
    return slot;
  }

  /** Makes a copy of an open file in a slot. */
  copy(file: number, mode: number): Slot {
    const slot = this.slot();
    const fd = this.directory.createFile(slot.name, mode);
    try {
      copyAll(file, fd);
      this.#keepMode(fd, mode);
    } finally {
      closeSync(fd);
    }
    return slot;
  }

  #keepMode(fd: number, mode: number): void {
    if (!this.keepsModes) changeMode(`/proc/self/fd/${fd}`, mode & ~process.umask());
  }

  /**
   * Moves a file that was made in a slot to its place, over a file that stands there; a file system that does not rename
   * gets it by other ways.
   */
  publishFile({ name }: Slot, to: Directory, newName: string): void {
    moveFile(this.directory, name, to, newName);
  }

  /** Moves a directory that was made in a slot to its place; false where the file system does not rename directories. */
  publish({ name }: Slot, to: Directory, newName: string): boolean {
    try {
      this.directory.move(name, to, newName);
      return true;
    } catch (error) {
      if (!refusesDirectoryRename(error)) throw error;
      this.#movesDirectories = false;
      return false;
    }
  }

  /**
   * Whether another run took this one for dead and sweeps what it makes: then what was moved to its place before may be
   * incomplete. Sweeping begins with another name.
   */
  get isSwept(): boolean {
    const standing = this.#parent.stat(this.#name);
    return standing === undefined || !isSame(standing, this.#identity);
  }

  /** Notes what must go if this run is killed: `names` below a path of directories from the parent on. */
  mark(path: readonly string[], names: readonly string[]): Mark {
    return new Mark(this.directory, path, names);
  }

  /** Removes what was made in a slot. */
  remove({ name }: Slot): void {
    removeTree(this.directory, name);
  }

  /**
   * Moves an entry of another directory aside, so that it is gone from its place at once; `dispose` removes it. Throws a
   * MountError, and leaves it whole, where it is a mount point or holds one.
   */
  discard(from: Directory, name: string): void {
    refuseMounts(from, name);
    try {
      from.move(name, this.directory, this.slot().name);
    } catch (error) {
      // Directories of an overlay's lower layer cannot be renamed, those of some file systems never.
      if (!refusesDirectoryRename(error)) throw error;
      removeTree(from, name);
    }
  }

  /** Removes it with all that is still inside. */
  dispose(): void {
    clearInterval(this.#timer);
    try {
      emptyDirectory(this.directory);
      this.#parent.removeEmpty(this.#name);
    } finally {
      this.directory.close();
    }
  }

  #beat(): void {
    const now = Date.now() / 1000;
    try {
      utimesSync(this.directory.at("."), now, now);
    } catch {}
  }
}

/** Whether some run, this one or another, is at work in a directory, or has been killed there. */
export function hasStaging(parent: Directory): boolean {
  return parent.list().some(({ name }) => isPrivateName(name));
}

/** Removes staging directories (and files under private names) whose run is dead. What cannot be removed is told, and left. */
export function sweepStaging(parent: Directory, log: Log): void {
  for (const { name } of parent.list()) {
    if (!isLeftBehind(parent, name)) continue;
    try {
      log.debug(`Removing ${parent.path}/${name}, left behind by a run that was killed`);
      refuseMounts(parent, name);
      const claimed = claim(parent, name);
      removeMarked(parent, claimed);
      removeTree(parent, claimed);
    } catch (error) {
      log.warn(
        `Cannot remove ${parent.path}/${name}, left behind by a run that was killed: ${describe(error)}`,
        "not-removed",
      );
    }
  }
}

/** Takes an entry out of its place first, so that a run that lives after all can tell; where nothing is renamed it stays. */
function claim(parent: Directory, name: string): string {
  const claimed = privateName();
  try {
    parent.move(name, parent, claimed);
    return claimed;
  } catch (error) {
    if (!refusesDirectoryRename(error)) throw error;
    return name;
  }
}

/** False only where `chmod` gives back what was taken away: elsewhere nothing else can be had. */
function keepsModes(directory: Directory): boolean {
  const mode = 0o666 & ~process.umask();
  return probe(directory, mode, (fd) => {
    const isRight = () => (fstatSync(fd).mode & 0o777) === mode;
    if (isRight()) return true;
    try {
      changeMode(`/proc/self/fd/${fd}`, mode);
    } catch (error) {
      if (isRefused(error)) return true;
      throw error;
    }
    return !isRight();
  });
}
