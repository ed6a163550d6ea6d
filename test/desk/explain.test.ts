import { describe, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { type Case, caseNames, readCase } from "../conformance/case.ts";
import { nobody, place } from "../conformance/place.ts";
import { run } from "../conformance/run.ts";
import { canRunAs, hangMs, isRoot, tempDir } from "../support/harness.ts";

/** What is found out only by reading a blob, or by writing: there `explain` says what is planned. */
const foundOutLater = new Set(["blob-unusable", "place-taken", "same-place"]);

interface Told {
  readonly buildpack: string;
  readonly layer: string;
  readonly code: string;
}

const cases = caseNames().map(readCase).filter(canRun);

function canRun({ definition: { needs, args } }: Case): boolean {
  if (needs.includes("root") && !isRoot) return false;
  if (needs.includes("amd64") && process.arch !== "x64") return false;
  if (needs.includes("nonroot") && isRoot && !canRunAs(nobody)) return false;
  // A command line that asks for something else, or is wrong.
  return args.every((argument) => !/^--?(help|h|version)$/.test(argument));
}

/** What a case's run says at its newest Platform API, with these arguments before and behind its own. */
async function told(theCase: Case, before: readonly string[], behind: readonly string[]) {
  await using scene = await place(theCase, false);
  using dir = tempDir("explain");
  const api = theCase.definition.platformApis.at(-1) ?? "0.15";
  const report = dir.join("report.json");
  const { definition } = scene;
  const args = [...before, ...definition.args.filter((word) => word !== "restore"), ...behind];
  const env = { ...definition.env, CNB_RESTORE_REPORT: report };
  const outcome = await run({ ...scene, definition: { ...definition, args, env } }, api);
  return { ...outcome, report: before.length > 0 ? undefined : read(report) };
}

function read(path: string): { layers: Told[]; error?: string } | undefined {
  try {
    return JSON.parse(readFileSync(path, "utf8"));
  } catch {
    // Nobody but root may have written there.
    return undefined;
  }
}

describe("explain says what a restore then does:", () => {
  let compared = 0;
  for (const each of cases) {
    test(
      each.name,
      async () => {
        const { report } = await told(each, [], []);
        if (report === undefined || report.error !== undefined) return;
        const { stdout, exitCode, stderr } = await told(each, ["explain"], ["-output", "json"]);
        expect({ exitCode, stderr: exitCode === 0 ? "" : stderr }).toEqual({ exitCode: 0, stderr: "" });
        const explained: Told[] = JSON.parse(stdout).layers;
        const codes = new Map(explained.map(({ buildpack, layer, code }) => [`${buildpack}:${layer}`, code]));
        const restored = report.layers.map(({ buildpack, layer, code }) => [`${buildpack}:${layer}`, code] as const);
        expect([...codes.keys()].sort()).toEqual(restored.map(([name]) => name).sort());
        for (const [name, code] of restored.filter(([, code]) => !foundOutLater.has(code))) {
          expect({ name, code: codes.get(name) }).toEqual({ name, code });
        }
        compared += restored.length;
      },
      2 * hangMs,
    );
  }

  test("and it was compared for hundreds of layers", () => expect(compared).toBeGreaterThan(200));
});
