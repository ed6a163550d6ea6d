import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { hasCode } from "../errors.ts";
import { orAsSecondUser } from "./second-user.ts";

/** Makes a directory and those above it as needed, with a given mode whatever the umask. Links above it are followed. */
export function makeDirectories(path: string, mode: number): void {
  try {
    makeIfAbsent(path, mode);
  } catch (error) {
    if (!hasCode(error, "ENOENT")) throw error;
    makeDirectories(join(path, ".."), mode);
    // Some file systems say so of any new name.
    makeIfAbsent(path, mode);
  }
}

function makeIfAbsent(path: string, mode: number): void {
  try {
    orAsSecondUser(() => mkdirSync(path, mode));
  } catch (error) {
    if (!hasCode(error, "EEXIST")) throw error;
  }
}
