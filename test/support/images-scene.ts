import type { Inputs } from "../../lib/cli/inputs.ts";
import { type PlanOptions, planImages } from "../../lib/images/plan.ts";
import { type Images, openImages } from "../../lib/images/resolve.ts";
import type { TomlTable } from "../../lib/toml/values.ts";
import { type FaultRegistry, startFaultRegistry, testImage } from "./fault-registry.ts";
import type { TempDir } from "./harness.ts";
import { analyzedOf, anonymousRegistry, inputsOf, rememberingLog } from "./image-fixture.ts";

export const labels = {
  "io.buildpacks.base.id": "base",
  "io.buildpacks.base.distro.name": "debian",
  "io.buildpacks.base.distro.version": "12",
};
export const runImage = testImage({ layers: [Buffer.from("run")], labels });
export const otherImage = testImage({ layers: [Buffer.from("other")], labels: { "io.buildpacks.base.id": "other" } });
export const debian = { id: "base", os: "linux", arch: "amd64", distro: { name: "debian", version: "12" } };

export interface Setup {
  readonly api?: number;
  readonly inputs?: Partial<Inputs>;
  readonly hasExtensions?: boolean;
  readonly runToml?: PlanOptions["runToml"];
}

/** Plans with an analyzed.toml; `kaniko` below `dir` is the kaniko directory. */
export function plan(dir: TempDir, analyzed: string | undefined, setup: Setup = {}) {
  const { api = 15, hasExtensions = false, runToml = [] } = setup;
  const inputs = inputsOf(api, { kanikoDir: dir.join("kaniko"), ...setup.inputs });
  return { inputs, planned: planImages({ inputs, hasExtensions, analyzed: analyzedOf(dir, analyzed), runToml }) };
}

export async function open(dir: TempDir, analyzed: string | undefined, setup: Setup = {}, signal?: AbortSignal) {
  const { log, lines } = rememberingLog();
  const { inputs, planned } = plan(dir, analyzed, setup);
  if (planned === undefined) throw new Error("nothing to do");
  const run = { inputs, env: {}, log, signal: signal ?? new AbortController().signal, umask: 0o022 };
  const images: Images = await openImages(planned, run, await anonymousRegistry(log, run.signal));
  return { images, lines };
}

export const runOf = (name: string, more = "") => `[run-image]\nreference = "${name}"\nimage = "${name}"\n${more}`;
export const runTableOf = (table: TomlTable | undefined) => table?.["run-image"];

export async function registryWith(...names: string[]): Promise<FaultRegistry> {
  const registry = await startFaultRegistry();
  for (const name of names) registry.push(name, "latest", name.startsWith("other") ? otherImage : runImage);
  return registry;
}
