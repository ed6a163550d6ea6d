import { hasCode } from "../errors.ts";
import type { User } from "./permissions.ts";

/** Whom root asks where it is denied something itself; a property of the process, as its user ids are. */
let second: User | undefined;

/** Names the user who may read what root may not, for want of a capability or on NFS (D21); undefined for nobody. */
export function trustSecondUser(user: User | undefined): void {
  second = user;
}

/**
 * What an action gives; where it is denied to this process, what it gives as the second user. The action must be
 * synchronous, and begins anew. Throws what it throws.
 */
export function orAsSecondUser<T>(act: () => T): T {
  try {
    return act();
  } catch (error) {
    if (second === undefined || !hasCode(error, "EACCES", "EPERM")) throw error;
    return as(second, act);
  }
}

/** What an action gives as the second user, and who that is; undefined where there is none. Throws what it throws. */
export function asSecondUser<T>(act: () => T): { readonly value: T; readonly user: User } | undefined {
  return second && { value: as(second, act), user: second };
}

function as<T>(user: User, act: () => T): T {
  const own = { uid: process.geteuid?.() ?? 0, gid: process.getegid?.() ?? 0 };
  try {
    process.setegid?.(user.gid);
    process.seteuid?.(user.uid);
    return act();
  } finally {
    process.seteuid?.(own.uid);
    process.setegid?.(own.gid);
  }
}
