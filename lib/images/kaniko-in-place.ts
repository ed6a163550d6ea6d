import type { Directory } from "../disk/directory.ts";
import { moveFile } from "../disk/move.ts";
import type { Slot, Staging } from "../disk/staging.ts";
import { InPlace } from "../disk/workplace.ts";
import type { Pauses } from "../waiting.ts";
import { indexFile } from "./kaniko-layout.ts";

/**
 * Puts a layout that was made in a slot in its place, where the file system does not rename directories: file by file, the
 * index last, without which nobody takes it for a layout. Until then nobody else may enter it, and a mark says that it is to go
 * if the run is killed. What stands there goes. Throws the system's errors, or the reason for which the run ends.
 */
export async function moveInPlace(
  { name: slot }: Slot,
  base: Directory,
  name: string,
  staging: Staging,
  { mode, pauses }: { readonly mode: number; readonly pauses: Pauses },
): Promise<void> {
  if (base.stat(name) !== undefined) staging.discard(base, name);
  const place = new InPlace(base, name, staging.mark([], [name]), staging);
  try {
    using made = staging.directory.open(slot);
    await moveFiles(made, place.root, { mode, pauses, isLast: (file) => file === indexFile });
    if (!place.isInPlace) throw new Error(begunAnew);
    // An inherited setgid stays (D22).
    place.root.ensureMode((place.root.ownStat().mode & 0o7000) | mode);
    moveFile(made, indexFile, place.root, indexFile);
    place.complete();
  } finally {
    place.remove();
  }
}

const begunAnew =
  "another restorer saves the same image; on a file system that does not rename directories only one can run at a time";

interface Moving {
  /** Of directories. */
  readonly mode: number;
  readonly pauses: Pauses;
  /** What is left for later. */
  readonly isLast: (name: string) => boolean;
}

async function moveFiles(from: Directory, to: Directory, moving: Moving): Promise<void> {
  for (const { name, isDirectory } of from.list()) {
    if (moving.isLast(name)) continue;
    if (isDirectory) {
      using source = from.open(name);
      using target = to.openOrMake(name, moving.mode);
      await moveFiles(source, target, { ...moving, isLast: () => false });
    } else moveFile(from, name, to, name);
    await moving.pauses.pause();
  }
}
