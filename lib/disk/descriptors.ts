import { readdirSync, readFileSync } from "node:fs";

/** A restore gets by with so many open files in all, beside blobs that are held open. */
export const reservedDescriptors = 64;

/** How many files this process may have open at a time; undefined where /proc does not say, or nothing bounds it. */
export function descriptorLimit(): number | undefined {
  try {
    const soft = /^Max open files\s+(\d+)/m.exec(readFileSync("/proc/self/limits", "latin1"))?.[1];
    return soft === undefined ? undefined : Number(soft);
  } catch {
    return undefined;
  }
}

/** How many more files this process may open. */
export function spareDescriptors(): number {
  try {
    return Math.max(0, (descriptorLimit() ?? Number.POSITIVE_INFINITY) - readdirSync("/proc/self/fd").length);
  } catch {
    return 0;
  }
}
