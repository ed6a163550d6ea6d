import { readlinkSync, type Stats, statSync } from "node:fs";
import { dirname, isAbsolute, join } from "node:path";
import { followLinks, type PassedLink } from "./links.ts";
import { orAsSecondUser } from "./second-user.ts";

/** In place of a user's id: of a link in a directory where several may put and replace links. */
const anybody = -1;

/** Why what a foreign link leads to is not used. */
export const byForeignLink = "a link or hard link that is not root's leads to what not everybody may read";

/** What was opened lies elsewhere by now, so that nobody can tell what led there. */
export function hasMoved(): Error {
  return Object.assign(new Error("it was moved while it was opened"), { code: "ENOENT" });
}

/** Where the file or directory really lies that a handle is on. */
export function realPathOf(fd: number): string {
  return readlinkSync(`/proc/self/fd/${fd}`);
}

/**
 * Who may have put the links there by which a path leads to `real`, where a handle that was opened by it really is: users' ids.
 * Links are followed here by what they say, not by the kernel, so that nobody can put others in their place meanwhile: then
 * the path leads elsewhere, and there are no makers to be told.
 */
export function makersOfLinks(path: string, real: string): readonly number[] | undefined {
  const absolute = isAbsolute(path) ? path : join(process.cwd(), path);
  if (absolute === real) return [];
  return orAsSecondUser(() => followedTo(absolute, real));
}

function followedTo(path: string, real: string): readonly number[] | undefined {
  const { links, end } = followLinks(path);
  return end === real ? links.flatMap(makersOfLink) : undefined;
}

function makersOfLink({ path, owner }: PassedLink): readonly number[] {
  const place = statSync(dirname(path));
  // Where the sticky bit is set only the directory's owner replaces what is not his own.
  const isAnybodys = (place.mode & 0o022) !== 0 && (place.mode & 0o1000) === 0;
  return [owner, place.uid, ...(isAnybodys ? [anybody] : [])];
}

/** Who else than its owner may have given a file further names (hard links): who may write to where it really lies. */
export function makersOfNames({ nlink, uid }: Pick<Stats, "nlink" | "uid">, real: string): readonly number[] {
  if (nlink < 2) return [];
  const place = orAsSecondUser(() => statSync(dirname(real)));
  const makers = [place.uid, ...((place.mode & 0o022) === 0 ? [] : [anybody])];
  return makers.filter((maker) => maker !== uid);
}

/** Whether one of these is neither root nor the `owner` of what the links lead to. */
export function areForeign(makers: readonly number[], owner = 0): boolean {
  for (const maker of makers) if (maker !== 0 && maker !== owner) return true;
  return false;
}
