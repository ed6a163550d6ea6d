import type { Directory } from "./directory.ts";
import { makePrivate } from "./fresh-directory.ts";
import type { Mark } from "./mark.ts";
import { emptyDirectory } from "./removal.ts";
import type { Slot, Staging } from "./staging.ts";

/**
 * Where a directory is made: in a slot of a staging directory, or in its place. `isMade` tells whether it is there already,
 * empty, and nobody else can reach it; else its parent is private.
 */
export type Workplace = Staged | InPlace;

/** A directory made in a slot, to be renamed. */
export class Staged {
  readonly isMade = false;
  readonly slot: Slot;
  readonly #staging: Staging;

  constructor(staging: Staging) {
    this.slot = staging.slot();
    this.#staging = staging;
  }

  /** Of the directory, for whoever fills it; it leads through a handle. */
  get path(): string {
    return this.slot.path;
  }

  get writesBehind(): boolean {
    return this.#staging.writesBehind;
  }

  get inheritsGroup(): boolean {
    return this.#staging.inheritsGroup;
  }

  get keepsModes(): boolean {
    return this.#staging.keepsModes;
  }

  /** Removes what was made. Throws the system's errors. */
  remove(): void {
    this.#staging.remove(this.slot);
  }
}

/**
 * A directory made in its place, where the file system does not rename directories. Until it is complete nobody else may
 * enter it, and a mark says that it is to go if the run is killed. Throws the system's errors.
 */
export class InPlace {
  readonly isMade = true;
  readonly writesBehind: boolean;
  readonly inheritsGroup: boolean;
  readonly keepsModes: boolean;
  readonly root: Directory;
  readonly #parent: Directory;
  readonly #name: string;
  readonly #mark: Mark;
  #isOver = false;

  /** Nothing may stand under the name. */
  constructor(parent: Directory, name: string, mark: Mark, { writesBehind, inheritsGroup, keepsModes }: Staging) {
    this.#parent = parent;
    this.#name = name;
    this.#mark = mark;
    this.writesBehind = writesBehind;
    this.inheritsGroup = inheritsGroup;
    this.keepsModes = keepsModes;
    this.root = makePrivate(parent, name);
  }

  /** Of the directory, for whoever fills it; it leads through a handle. */
  get path(): string {
    return this.root.at(".");
  }

  /** Whether it still stands in its place: another run may have begun the same layer anew there. */
  get isInPlace(): boolean {
    using standing = this.#parent.openIfThere(this.#name);
    return standing?.isSame(this.root.identity) === true;
  }

  /** All that belongs to it is in its place, too. */
  complete(): void {
    this.#isOver = true;
    this.root.close();
    try {
      this.#mark.remove();
    } catch {
      // It goes with its directory; at worst the layer is made again.
    }
  }

  /** Removes what was made, unless it is complete; what another run has put in its place stays. Throws the system's errors. */
  remove(): void {
    // The handle is closed by then, and its number may be another directory's.
    if (this.#isOver) return;
    this.#isOver = true;
    try {
      if ((this.root.ownStat().mode & 0o700) !== 0o700) this.root.setMode(0o700);
      emptyDirectory(this.root);
      if (this.isInPlace) this.#parent.removeEmpty(this.#name);
    } finally {
      this.root.close();
    }
    this.#mark.remove();
  }
}
