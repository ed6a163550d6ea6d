import { closeSync, type Stats, statSync } from "node:fs";
import { dirname } from "node:path";
import type { BlobFile } from "../archive/source.ts";
import { reservedDescriptors, spareDescriptors } from "../disk/descriptors.ts";
import { permits, type User } from "../disk/permissions.ts";
import { openUnlessForeign } from "../disk/read-file.ts";

/**
 * What blobs that may be opened later, too, leave to the rest of a run, of so many descriptors: more where there are many, for
 * so many more small layers it restores at a time.
 */
function leftByOthers(spare: number): number {
  return Math.max(reservedDescriptors, Math.min(4 * reservedDescriptors, Math.floor(spare / 4)));
}

/** A blob's file. */
export interface BlobPlace {
  /** For system calls. */
  readonly at: string;
  /** For messages. */
  readonly path: string;
  /** Of the links that led to the handle which `at` leads through, for `openUnlessForeign`. */
  readonly makers?: readonly number[];
}

/**
 * Blobs that are opened before they are read, since they may be out of reach then; they stay open, for one may be wanted under
 * several digests. There are never so many that the rest of the run lacks descriptors, and a file with several names is opened
 * once.
 */
export class HeldBlobs {
  readonly #byDigest = new Map<string, BlobFile>();
  readonly #byFile = new Map<string, BlobFile>();
  /** Digests for which there was no descriptor. */
  readonly #leftOut = new Set<string>();
  /** Descriptors there were when there first was something to hold: the rest of what a run opens early is open then. */
  #spare: number | undefined;

  get(sha: string): BlobFile | undefined {
    return this.#byDigest.get(sha);
  }

  hadNoRoomFor(sha: string): boolean {
    return this.#leftOut.has(sha);
  }

  /**
   * Opens the blob of a digest and keeps it open, if there is room, of which one that can wait leaves more to others. Trouble
   * is left to a later opening.
   */
  hold(sha: string, place: BlobPlace, { canWait = false } = {}): void {
    if (this.#byDigest.has(sha)) return;
    this.#spare ??= spareDescriptors();
    const left = canWait ? leftByOthers(this.#spare) : reservedDescriptors;
    const hasRoom = this.#spare - this.#byFile.size > left;
    ifPossible(() => this.#open(sha, place, hasRoom));
    if (!this.#byDigest.has(sha) && !hasRoom) this.#leftOut.add(sha);
  }

  #open(sha: string, place: BlobPlace, hasRoom: boolean): void {
    // The one more that is opened to see whether its file is open already comes out of the reserve.
    const { stat, ...opened } = openBlobFile(place);
    const file = `${stat.dev}:${stat.ino}`;
    const known = this.#byFile.get(file);
    if (known !== undefined || !hasRoom) {
      closeSync(opened.fd);
      if (known !== undefined) this.#byDigest.set(sha, known);
      return;
    }
    const blob = { ...opened, staysOpen: true };
    this.#byFile.set(file, blob);
    this.#byDigest.set(sha, blob);
  }
}

/** Opens a blob by the rule of `openUnlessForeign`. Throws the system's errors. */
export function openBlobFile({ at, path, makers }: BlobPlace): BlobFile & { readonly stat: Stats } {
  const opened = openUnlessForeign(at, makers);
  return { ...opened, size: opened.stat.size, path };
}

/** Tells which blobs in a directory a user could not open. */
export function outOfReach(user: User, directory: string): (place: BlobPlace) => boolean {
  const isBarred = !mayEnter(directory, user);
  return ({ at }) => {
    const stat = ifPossible(() => statSync(at));
    return stat !== undefined && (isBarred || !mayAccess(stat, user, 0o4));
  };
}

/** What an action gives, undefined where it fails: a later one will tell why. */
function ifPossible<T>(act: () => T): T | undefined {
  try {
    return act();
  } catch {
    return undefined;
  }
}

/** Whether a directory and all above it may be entered by a user, as far as mode bits tell. */
function mayEnter(directory: string, user: User): boolean {
  const stat = ifPossible(() => statSync(directory));
  if (stat === undefined || !mayAccess(stat, user, 0o1)) return false;
  return dirname(directory) === directory || mayEnter(dirname(directory), user);
}

/** As `permits`; root needs no permission. */
function mayAccess(stat: Stats, user: User, bits: number): boolean {
  return user.uid === 0 || permits(stat, user, bits);
}
