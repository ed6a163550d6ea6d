import { readdirSync, realpathSync, statSync } from "node:fs";
import { join } from "node:path";
import type { Identity } from "./identity.ts";
import { orAsSecondUser } from "./second-user.ts";

/** A file that a link leads to: what it is, and where it really lies. */
interface LinkedFile {
  readonly link: string;
  readonly path: string;
  readonly identity: Identity;
}

/** The files that links right in a directory lead to; none where it cannot be listed. */
export function linkedFiles(dir: string): LinkedFile[] {
  return linksIn(dir).flatMap((name) => linkedFile(join(dir, name)));
}

function linksIn(dir: string): string[] {
  try {
    const entries = orAsSecondUser(() => readdirSync(dir, { withFileTypes: true }));
    return entries.filter((entry) => entry.isSymbolicLink()).map(({ name }) => name);
  } catch {
    return [];
  }
}

function linkedFile(link: string): LinkedFile[] {
  try {
    const path = orAsSecondUser(() => realpathSync(link));
    const stat = orAsSecondUser(() => statSync(path));
    return stat.isFile() ? [{ link, path, identity: { dev: stat.dev, ino: stat.ino } }] : [];
  } catch {
    // It leads nowhere; that is told where it is read.
    return [];
  }
}
