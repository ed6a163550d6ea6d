import { mkdirSync, rmdirSync } from "node:fs";
import { join } from "node:path";
import { hasCode } from "../errors.ts";
import { orAsSecondUser } from "./second-user.ts";

/**
 * Makes a directory and those above it as needed, with a given mode whatever the umask. Links above it are followed. Returns
 * whether the directory is new.
 */
export function makeDirectories(path: string, mode: number): boolean {
  try {
    return makeIfAbsent(path, mode);
  } catch (error) {
    if (!hasCode(error, "ENOENT")) throw error;
    makeDirectories(join(path, ".."), mode);
    // Some file systems say so of any new name.
    return makeIfAbsent(path, mode);
  }
}

/** Takes away a directory that was made in vain. One that somebody else uses meanwhile stays, and that is no error. */
export function unmakeDirectory(path: string): void {
  try {
    rmdirSync(path);
  } catch {
    // What it was made for has failed already, and that is told.
  }
}

function makeIfAbsent(path: string, mode: number): boolean {
  try {
    orAsSecondUser(() => mkdirSync(path, mode));
    return true;
  } catch (error) {
    if (!hasCode(error, "EEXIST")) throw error;
    return false;
  }
}
