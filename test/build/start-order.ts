import { readFileSync } from "node:fs";
import { resolve } from "node:path";
import { type AppBuildpack, analyzedToml, groupToml, makeCache } from "../support/cache-fixture.ts";
import { runRestorer, tempDir } from "../support/harness.ts";

/** What `build/compile.ts` lays the bytecode out by. `bun test/build/start-order.ts` writes it. */
export const startOrderPath = resolve(import.meta.dir, "../../build/start.order");

const header = "v2";

/** The lines of an order file that name functions. */
export function functionsIn(order: string): string[] {
  return order.split("\n").filter((line) => line.startsWith("F "));
}

/**
 * The functions that starts use, as the runtime records them: first of a run with nothing to do, then of a restore. Of each
 * the order in which they are used is left out: it may differ from run to run.
 */
export async function startFunctions(): Promise<string[]> {
  const buildpacks: AppBuildpack[] = [{ id: "a/b", layers: [{ name: "launched", metadata: { version: "1" } }] }];
  const idle = { "group.toml": groupToml([{ id: "a/b" }, { id: "a/c" }]), "analyzed.toml": analyzedToml() };
  const busy = { "group.toml": groupToml([{ id: "a/b" }]), "analyzed.toml": analyzedToml({ buildpacks }) };
  using dir = tempDir("order", { idle, busy, small: { file: "x" }, large: { file: "x".repeat(100_000) } });
  const layers = ["small", "large"].map((name) => ({ name, build: true, tree: dir.join(name) }));
  const cache = makeCache(dir.join("cache"), [{ id: "a/b", layers }]);
  const runs = [
    ["-layers", dir.join("idle")],
    ["-layers", dir.join("busy"), "-cache-dir", cache.path],
  ];
  const used = new Set<string>();
  for (const [index, args] of runs.entries()) {
    const recorded = dir.join(`order-${index}`);
    const { exitCode, stderr } = await runRestorer(args, { env: { BUN_BYTECODE_ORDER_OUT: recorded } });
    if (exitCode !== 0) throw new Error(`the run to record ended with ${exitCode}: ${stderr}`);
    const order = readFileSync(recorded, "latin1");
    const [first] = order.split("\n", 1);
    if (first !== header) throw new Error(`the runtime wrote an order file of version ${first}, expected ${header}`);
    for (const line of functionsIn(order).sort()) used.add(line);
  }
  return [...used];
}

if (import.meta.main) await Bun.write(startOrderPath, `${[header, ...(await startFunctions())].join("\n")}\n`);
