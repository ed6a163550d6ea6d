import { closeSync, fstatSync } from "node:fs";
import type { BlobFile } from "../archive/source.ts";
import { spareDescriptors } from "../disk/descriptors.ts";
import { isSecret } from "../disk/read-file.ts";

/** Descriptors that the rest of a run needs: a restore gets by with 64 open files in all. */
const reserve = 64;

/**
 * Blobs that are opened while privileges allow it, and stay open: one may be wanted under several digests. There are never so
 * many that the rest of the run lacks descriptors, and a file with several names is opened once.
 */
export class OpenedAhead {
  readonly #byDigest = new Map<string, BlobFile>();
  readonly #byFile = new Map<string, BlobFile>();
  #room = Math.max(0, spareDescriptors() - reserve);

  /** Whether there is no room for another file. */
  get isFull(): boolean {
    return this.#room === 0;
  }

  get(sha: string): BlobFile | undefined {
    return this.#byDigest.get(sha);
  }

  /** Keeps the blob of a digest that `open` opens, if there is room for it. Throws what `open` throws. */
  add(sha: string, path: string, open: () => number): void {
    // The one more that is opened to see whether its file is open already comes out of the reserve.
    const fd = open();
    const stat = fstatSync(fd);
    const file = `${stat.dev}:${stat.ino}`;
    const known = this.#byFile.get(file);
    if (known !== undefined || this.isFull) {
      closeSync(fd);
      if (known !== undefined) this.#byDigest.set(sha, known);
      return;
    }
    this.#room -= 1;
    const blob = { fd, size: stat.size, path, isSecret: isSecret(stat), staysOpen: true };
    this.#byFile.set(file, blob);
    this.#byDigest.set(sha, blob);
  }
}
