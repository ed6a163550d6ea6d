import { expect } from "bun:test";
import { readFileSync } from "node:fs";
import { skipUnless } from "../support/harness.ts";
import { functionsIn, startFunctions, startOrderPath } from "./start-order.ts";

const isOurs = process.env.RESTORER === undefined;

skipUnless(isOurs, "dist/restorer")(
  "the bytecode is laid out by what a start uses: four fifths of that are listed, and of what is listed",
  async () => {
    const listed = new Set(functionsIn(readFileSync(startOrderPath, "latin1")));
    const used = await startFunctions();
    const both = used.filter((line) => listed.has(line)).length;
    expect(used.length).toBeGreaterThan(200);
    // Otherwise write it anew, after `make build`: bun test/build/start-order.ts
    expect(both / used.length).toBeGreaterThan(0.8);
    expect(both / listed.size).toBeGreaterThan(0.8);
  },
);
