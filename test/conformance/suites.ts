import { test } from "bun:test";
import { canRunAs, hangMs, isRoot, type RunResult, skipUnless } from "../support/harness.ts";
import { type Area, type Case, caseNames, readCase } from "./case.ts";
import { compare, compareReference } from "./compare.ts";
import { nobody, place } from "./place.ts";
import { run } from "./run.ts";

/** Which areas a test file runs: several files, since each has a process of its own. */
export const suites = {
  "commands.test.ts": ["cli", "group", "log", "skip"],
  "decisions.test.ts": ["analyzed", "decision", "names", "store", "values"],
  "images.test.ts": ["cache-image", "image"],
  "layers.test.ts": ["blobs", "cache", "hostile", "owner", "sbom", "tar"],
} as const satisfies Readonly<Record<string, readonly Area[]>>;

/** A run counts its own time, from when it starts; this is only against trouble around it. */
const timeoutMs = 2 * hangMs;

/** Makes the tests of a file: one for each of its cases and each Platform API. CASE, a name perhaps with `*`, picks some. */
export function testCases(suite: keyof typeof suites): void {
  const areas: readonly Area[] = suites[suite];
  const picked = new Bun.Glob(process.env.CASE ?? "*");
  const names = caseNames().filter((name) => picked.match(name));
  if (names.length === 0) throw new Error(`no case is called ${process.env.CASE}`);
  const cases = names.map(readCase).filter(({ definition }) => areas.includes(definition.area));
  // A file without tests counts as a failure, but none of these was asked for.
  if (cases.length === 0) test.skip(`none of the cases of ${suite} is called ${process.env.CASE}`, () => {});
  for (const each of cases) {
    const testOne = testFor(each);
    for (const api of each.definition.platformApis) {
      testOne(`${each.name} [${api}]: ${each.definition.title}`, () => check(each, api), timeoutMs);
    }
  }
}

function testFor({ definition: { needs } }: Case): ReturnType<typeof skipUnless> {
  if (needs.includes("root") && !isRoot) return skipUnless(false, "root");
  if (needs.includes("amd64") && process.arch !== "x64") return skipUnless(false, "amd64");
  const isReachable = !needs.includes("nonroot") || !isRoot || canRunAs(nobody);
  return skipUnless(isReachable, "setpriv, and an executable that other users may run");
}

async function check(theCase: Case, api: string): Promise<void> {
  const reference = process.env.REFERENCE;
  await using scene = await place(theCase, reference !== undefined);
  const outcome = await run(scene, api, reference);
  const differences = (reference === undefined ? compare : compareReference)(scene, outcome);
  if (differences.length > 0) throw new Error(report(theCase, differences, outcome));
}

function report({ definition }: Case, differences: readonly string[], { stdout, stderr }: RunResult): string {
  const lines = [...differences, `why: ${definition.why}`];
  for (const [name, text] of Object.entries({ stdout, stderr })) {
    const shown = text.trimEnd().split("\n").slice(0, 40);
    lines.push(...shown.filter((line) => line !== "").map((line) => `${name} | ${line}`));
  }
  return lines.join("\n");
}
