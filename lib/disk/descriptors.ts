import { readdirSync, readFileSync, statSync } from "node:fs";
import { hasCode } from "../errors.ts";
import { RestorerError } from "../failures.ts";
import { count } from "../text.ts";

/** A restore gets by with so many open files in all, beside blobs that are held open. */
export const reservedDescriptors = 64;

/** How many files this process may have open at a time; undefined where /proc does not say, or nothing bounds it. */
export function descriptorLimit(): number | undefined {
  try {
    const [, soft = ""] = readFileSync("/proc/self/limits", "latin1").split("Max open files");
    const limit = Number.parseInt(soft, 10);
    return Number.isNaN(limit) ? undefined : limit;
  } catch {
    return undefined;
  }
}

/** How many more files this process may open; none where that cannot be told. */
export function spareDescriptors(): number {
  try {
    return countSpare();
  } catch {
    return 0;
  }
}

/** Throws the system's errors. */
function countSpare(): number {
  return Math.max(0, (descriptorLimit() ?? Number.POSITIVE_INFINITY) - readdirSync("/proc/self/fd").length);
}

/** Files that a run may have open beside those that are open when it begins. */
const needed = 48;

/**
 * Throws a RestorerError (exit 1) where this process may not open as many files as a run needs: whatever is refused one later
 * on, of the runtime's own too, would not be to blame.
 */
export function refuseFewDescriptors(): void {
  let spare = 0;
  try {
    spare = countSpare();
  } catch (error) {
    // Where /proc does not tell, the run will.
    if (!hasCode(error, "EMFILE")) return;
  }
  if (spare >= needed) return;
  throw new RestorerError(`this process may open ${count(spare, "more file")}, and a run needs ${needed}`, {
    code: "few-descriptors",
    hint: "Raise the limit on open files (`ulimit -n`): 64 are enough where the restorer is given none that are open already.",
  });
}

/** Whether a path may be a directory that holds others: of one that holds none there are two links, its name and its own `.`. */
export function mayHoldDirectories(path: string): boolean {
  try {
    const found = statSync(path, { throwIfNoEntry: false });
    return found !== undefined && found.nlink !== 2;
  } catch {
    return true;
  }
}
