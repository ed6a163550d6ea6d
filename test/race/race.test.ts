// Runs alone: adversaries and runs race each other on all cores.
import { describe, expect } from "bun:test";
import { isRoot, skipUnless } from "../support/harness.ts";
import { kinds } from "./kinds.ts";
import { race } from "./rounds.ts";

/** A taste only; `make race` is the long run. */
const rounds = 8;

describe("a process that swaps directories for links while root works on them", () => {
  for (const kind of kinds) {
    skipUnless(isRoot, "root")(`gets nothing outside touched: ${kind.name}`, async () => {
      const { hits } = await race(kind, rounds);
      expect(hits).toEqual([]);
    });
  }
});
