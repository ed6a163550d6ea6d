import { readdirSync, readFileSync } from "node:fs";
import { describe, hasCode } from "../errors.ts";
import { RestorerError } from "../failures.ts";
import type { Log } from "../log.ts";
import type { User } from "./permissions.ts";
import { trustSecondUser } from "./second-user.ts";

/** The user this process runs as. */
export function currentUser(): User {
  return { uid: process.geteuid?.() ?? 0, gid: process.getegid?.() ?? 0 };
}

/** Whether this process is root: it may read what only root can, and must not show that to others. */
export function isRoot(): boolean {
  return currentUser().uid === 0;
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
    `Cannot become user ${wanted.uid}:${wanted.gid}, only root can; going on as ${current.uid}:${current.gid}, who will own what is restored`,
    "user",
  );
  return undefined;
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
    trustSecondUser(undefined);
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
