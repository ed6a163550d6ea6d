import { lstatSync, readlinkSync } from "node:fs";
import { dirname, isAbsolute, join } from "node:path";
import type { Identity } from "./identity.ts";
import { namesOf } from "./prefixes.ts";

/** More links than the kernel follows. */
export const mostLinks = 40;

/** A link that a path leads by. */
export interface PassedLink {
  /** Where it stands; no link is in that. */
  readonly path: string;
  readonly owner: number;
  /** Of the link itself. */
  readonly identity: Identity;
}

/**
 * The links that an absolute path leads by, those that links lead to included, and where it ends. They are followed by what they
 * say. Throws the system's errors, but a path may end where nothing is.
 */
export function followLinks(path: string): { readonly links: readonly PassedLink[]; readonly end: string } {
  const links: PassedLink[] = [];
  const ahead = namesOf(path);
  let at = "/";
  for (let name = ahead.shift(); name !== undefined; name = ahead.shift()) {
    if (name === ".") continue;
    if (name === "..") {
      at = dirname(at);
      continue;
    }
    const here = join(at, name);
    const stat = lstatSync(here, { throwIfNoEntry: false });
    if (stat?.isSymbolicLink() !== true || links.length === mostLinks) {
      at = here;
      continue;
    }
    links.push({ path: here, owner: stat.uid, identity: { dev: stat.dev, ino: stat.ino } });
    const target = readlinkSync(here);
    if (isAbsolute(target)) at = "/";
    ahead.unshift(...namesOf(target));
  }
  return { links, end: at };
}
