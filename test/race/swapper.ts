/**
 * The adversary of a race: as a user without rights, swaps entries of a directory for others and back, as fast as it can,
 * until it is killed. It has its working directory inside, and so goes on where the directory is moved to.
 *
 * Usage: bun test/race/swapper.ts UID NOW PLACE PAIRS [LURE]. NOW is a link to the directory of the present round, and
 * absent between rounds; PLACE is below that; PAIRS (JSON) are pairs of names, the second
 * one's below the round's directory unless it begins with `./`.
 * With LURE, a directory below the round's, that first takes the place of the first private directory that comes up in PLACE,
 * and the pairs are of names in it.
 */
import { dlopen, FFIType } from "bun:ffi";
import { readdirSync, readlinkSync } from "node:fs";
import { join } from "node:path";

const here = -100; // AT_FDCWD
const RENAME_EXCHANGE = 2;
/** How often a round swaps all pairs before it looks whether the round is over. */
const passes = 50;

const { symbols } = dlopen("libc.so.6", {
  renameat2: { args: [FFIType.i32, FFIType.ptr, FFIType.i32, FFIType.ptr, FFIType.u32], returns: FFIType.i32 },
});

type Pair = readonly [one: Buffer, other: Buffer];

/** In one step: at any moment one of them stands there. */
function exchange([one, other]: Pair): boolean {
  return symbols.renameat2(here, one, here, other, RENAME_EXCHANGE) === 0;
}

function readNow(now: string): string | undefined {
  try {
    return readlinkSync(now);
  } catch {
    return undefined;
  }
}

function enter(path: string): boolean {
  try {
    process.chdir(path);
    return true;
  } catch {
    return false;
  }
}

/** Swaps until the round is over, or nothing is left to swap. */
function swap(pairs: readonly Pair[], isOver: () => boolean): void {
  for (let some = true; some && !isOver(); ) {
    for (let pass = 0; pass < passes; pass++) {
      some = false;
      for (const pair of pairs) if (exchange(pair)) some = true;
      if (!some) return;
    }
  }
}

/** Waits for a private directory, puts the lure in its place, and goes in. */
function lureIn(lure: Buffer, isOver: () => boolean): boolean {
  while (!isOver()) {
    for (let look = 0; look < passes; look++) {
      const name = readdirSync(".").find((entry) => entry.startsWith(".restorer-"));
      if (name !== undefined) return exchange([Buffer.from(`${name}\0`), lure]) && enter(name);
    }
  }
  return false;
}

const [uid = "", now = "", place = "", names = "", lure] = process.argv.slice(2);
const pairs: [string, string][] = JSON.parse(names);
process.setgroups?.([]);
process.setgid?.(Number(uid));
process.setuid?.(Number(uid));
for (;;) {
  const round = readNow(now);
  if (round !== undefined && enter(join(round, place))) {
    const inRound = pairs.map(([one, other]): Pair => {
      const path = other.startsWith("./") ? other : `${round}/${other}`;
      return [Buffer.from(`${one}\0`), Buffer.from(`${path}\0`)];
    });
    const isOver = () => readNow(now) !== round;
    if (lure === undefined || lureIn(Buffer.from(`${round}/${lure}\0`), isOver)) swap(inRound, isOver);
  }
  Bun.sleepSync(0.2);
}
