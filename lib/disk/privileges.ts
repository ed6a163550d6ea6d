import { chownSync, closeSync, constants, fstatSync, openSync, readdirSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { describe, errorCode, hasCode } from "../errors.ts";
import { RestorerError } from "../failures.ts";
import type { Log } from "../log.ts";
import { quote } from "../text.ts";
import { Directory, O_PATH } from "./directory.ts";

export interface User {
  readonly uid: number;
  readonly gid: number;
}

/** The user this process runs as. */
export function currentUser(): User {
  return { uid: process.geteuid?.() ?? 0, gid: process.getegid?.() ?? 0 };
}

/**
 * The user to become (contract §6), or undefined to stay. Only root can become another; anybody else is told and stays.
 */
export function userToBecome(asked: { uid: number | undefined; gid: number | undefined }, log: Log): User | undefined {
  const current = currentUser();
  const wanted = { uid: asked.uid ?? current.uid, gid: asked.gid ?? current.gid };
  if (wanted.uid === current.uid && wanted.gid === current.gid) return undefined;
  if (current.uid === 0) return wanted;
  log.warn(
    `cannot become user ${wanted.uid}:${wanted.gid}, only root can; going on as ${current.uid}:${current.gid}, who will own what is restored`,
  );
  return undefined;
}

/**
 * Gives a directory with all that is in it to a user, unless its root is the user's own or writable for them already.
 * Links are not followed, modes not changed, and files with further names (hard links) left alone, since those names may
 * lie anywhere. `except`, a cache inside perhaps, is left alone with all that is in it. A directory that does not exist is
 * no error. Throws RestorerErrors (exit 1).
 */
export function giveTo(path: string, user: User, log: Log, except?: string): void {
  try {
    const root = openRoot(path);
    if (root === undefined) return;
    try {
      const fd = openSync(root.at("."), O_PATH);
      try {
        const stat = fstatSync(fd);
        if (isWritable(stat, user)) return;
      } finally {
        closeSync(fd);
      }
      giveEntries(root, user, log, identity(except));
      chownSync(root.at("."), user.uid, user.gid);
    } finally {
      root.close();
    }
  } catch (error) {
    throw new RestorerError(`give ${quote(path)} to user ${user.uid}:${user.gid}: ${describe(error)}`, {
      cause: error,
    });
  }
}

function openRoot(path: string): Directory | undefined {
  try {
    return Directory.open(path, path, true);
  } catch (error) {
    if (errorCode(error) === "ENOENT") return undefined;
    throw error;
  }
}

function isWritable(stat: { mode: number; uid: number; gid: number }, user: User): boolean {
  if (stat.uid === user.uid) return (stat.mode & 0o300) === 0o300;
  if (stat.gid === user.gid) return (stat.mode & 0o030) === 0o030;
  return (stat.mode & 0o003) === 0o003;
}

function giveEntries(directory: Directory, user: User, log: Log, except: string | undefined): void {
  for (const name of readdirSync(directory.at("."), { encoding: "buffer" })) {
    // What is checked and what is changed must be the same thing, whatever happens to its name meanwhile.
    const fd = openEntry(directory, name);
    if (fd === undefined) continue;
    try {
      const stat = fstatSync(fd);
      if (`${stat.dev}:${stat.ino}` === except) continue;
      if (!stat.isDirectory() && stat.nlink > 1 && stat.uid !== user.uid) {
        log.warn(
          `not giving ${quote(`${directory.path}/${name}`)} to user ${user.uid}: it has other names (hard links)`,
        );
        continue;
      }
      if (stat.isDirectory()) {
        const child = Directory.open(`/proc/self/fd/${fd}/.`, join(directory.path, name.toString()));
        try {
          giveEntries(child, user, log, except);
        } finally {
          child.close();
        }
      }
      chownSync(`/proc/self/fd/${fd}`, user.uid, user.gid);
    } finally {
      closeSync(fd);
    }
  }
}

/** Tells a file from all others. */
function identity(path: string | undefined): string | undefined {
  try {
    const stat = path === undefined ? undefined : statSync(path);
    return stat && `${stat.dev}:${stat.ino}`;
  } catch {
    return undefined;
  }
}

/** A handle on what has a name; undefined when it has gone meanwhile. */
function openEntry(directory: Directory, name: Buffer): number | undefined {
  try {
    return openSync(directory.atBytes(name), O_PATH | constants.O_NOFOLLOW);
  } catch (error) {
    if (errorCode(error) === "ENOENT") return undefined;
    throw error;
  }
}

/**
 * Becomes a user for good: supplementary groups first, then gid, then uid, for all threads; then verifies that nothing of
 * root is left and that there is no way back. Throws RestorerErrors (exit 1).
 */
export function become(user: User): void {
  try {
    process.setgroups?.([user.gid]);
    process.setgid?.(user.gid);
    process.setuid?.(user.uid);
    verify(user);
  } catch (error) {
    throw new RestorerError(`become user ${user.uid}:${user.gid}: ${describe(error)}`, {
      cause: error,
      hint: "The restorer needs CAP_SETUID and CAP_SETGID for that, or leave out -uid and -gid.",
    });
  }
}

/** What the kernel says of a thread; nothing when it has ended meanwhile. */
function statusOf(thread: string): string {
  try {
    return readFileSync(`/proc/self/task/${thread}/status`, "utf8");
  } catch (error) {
    if (hasCode(error, "ENOENT", "ESRCH")) return "";
    throw error;
  }
}

function verify(user: User): void {
  for (const thread of readdirSync("/proc/self/task")) {
    const status = statusOf(thread);
    const ids = (field: string) => new RegExp(`^${field}:\\s*(.*)$`, "m").exec(status)?.[1]?.trim().split(/\s+/) ?? [];
    const left = [
      ...ids("Uid").filter((id) => id !== String(user.uid)),
      ...ids("Gid").filter((id) => id !== String(user.gid)),
      ...ids("Groups").filter((id) => id !== "" && id !== String(user.gid)),
    ];
    if (left.length > 0) throw new Error(`thread ${thread} still has the id ${left[0]}`);
    const capabilities = ["CapEff", "CapPrm", "CapAmb"].flatMap(ids);
    if (user.uid !== 0 && capabilities.some((set) => /[1-9a-f]/.test(set)))
      throw new Error(`thread ${thread} still has capabilities`);
  }
  if (user.uid === 0) return;
  let isRootAgain = false;
  try {
    process.setuid?.(0);
    isRootAgain = true;
  } catch {}
  if (isRootAgain) throw new Error("the way back to root is open");
}
