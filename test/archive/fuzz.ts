/**
 * `make fuzz`: changes real layers at random, restores many of them a run with the compiled executable, and holds each
 * run against what is promised whatever the cache: nothing outside of the layer is touched, a layer is there whole or not
 * at all, its neighbours are restored, the run ends well, soon, and in little memory.
 *
 * Usage: bun test/archive/fuzz.ts [SECONDS]. SEED=n repeats a run that failed.
 */
import { cpSync, lstatSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { analyzedToml, groupToml, makeCache } from "../support/cache-fixture.ts";
import { canaryTree, stamps } from "../support/canary.ts";
import { restorerPath, type TempDir, tempDir } from "../support/harness.ts";
import { tarOf } from "../support/raw-tar.ts";
import { Mutator, type Pieces, readSeeds } from "./mutator.ts";
import { Random } from "./random.ts";

const project = resolve(import.meta.dir, "../..");
const layersPerRun = 60;
const largestRss = 256 * 1024 * 1024;
const longestRunMs = 60_000;

interface Tally {
  runs: number;
  layers: number;
  restored: number;
  peakRss: number;
}

interface Run {
  readonly exitCode: number | null;
  readonly signal: NodeJS.Signals | number | null;
  readonly stderr: string;
  readonly peakRss: number;
}

/** Layers and a cache in a directory, the cache's layers made by a mutator, all but `neighbour`. */
function setUp(dir: TempDir, names: readonly string[], mutator: Mutator): void {
  const layers = dir.join("layers");
  mkdirSync(join(layers, "bystander/layer"), { recursive: true });
  writeFileSync(join(layers, "bystander/layer/data"), "not of this build");
  writeFileSync(join(layers, "group.toml"), groupToml([{ id: "fuzz" }]));
  writeFileSync(join(layers, "analyzed.toml"), analyzedToml());
  const neighbour = tarOf([{ name: "/layers/fuzz/neighbour/data", data: "good" }]);
  const cached = [...names.map((name) => ({ name, tar: mutator.layer(name) })), { name: "neighbour", tar: neighbour }];
  makeCache(dir.join("cache"), [{ id: "fuzz", layers: cached }]);
}

async function restore(dir: TempDir): Promise<Run> {
  const argv = [restorerPath(), "-layers", dir.join("layers"), "-cache-dir", dir.join("cache"), "-no-color"];
  const child = Bun.spawn(argv, {
    env: { CNB_PLATFORM_API: "0.15", CNB_KANIKO_DIR: dir.join("kaniko") },
    cwd: dir.path,
    stdout: "pipe",
    stderr: "pipe",
  });
  const timer = setTimeout(() => child.kill("SIGKILL"), longestRunMs);
  const [, stderr] = await Promise.all([child.stdout.text(), child.stderr.text(), child.exited]);
  clearTimeout(timer);
  const { exitCode, signalCode: signal } = child;
  return { exitCode, signal, stderr, peakRss: child.resourceUsage()?.maxRSS ?? 0 };
}

/** What is wrong with how a run went. */
function judgeRun({ exitCode, signal, stderr, peakRss }: Run): string[] {
  const wrong: string[] = [];
  if (signal !== null) wrong.push(`died of ${signal}, or took more than ${longestRunMs / 1000} s`);
  else if (exitCode !== 0) wrong.push(`exit ${exitCode}: ${stderr.slice(-500)}`);
  if (/^\s+at |panic|Segmentation|[\x00-\x08\x0b-\x1f\x7f]/m.test(stderr))
    wrong.push(`stderr: ${stderr.slice(0, 2000)}`);
  if (peakRss > largestRss) wrong.push(`took ${peakRss} bytes of memory`);
  return wrong;
}

/** What is wrong with the layers that a run left; counts those that were restored. */
function judgeLayers(layers: string, names: readonly string[], { stderr }: Run, tally: Tally): string[] {
  const wrong: string[] = [];
  const top = readdirSync(layers).sort().join(" ");
  if (top !== "analyzed.toml bystander fuzz group.toml") wrong.push(`the layers directory holds ${top}`);
  const standing = new Set(readdirSync(join(layers, "fuzz")));
  for (const name of names) {
    const refused = stderr.includes(`"fuzz:${name}"`);
    const whole = standing.delete(name);
    const toml = standing.delete(`${name}.toml`);
    if (whole !== toml || whole === refused)
      wrong.push(`${name}: directory ${whole}, toml ${toml}, refused ${refused}`);
    if (whole && !lstatSync(join(layers, "fuzz", name)).isDirectory()) wrong.push(`${name} is not a directory`);
    if (whole) tally.restored += 1;
  }
  if (!standing.delete("neighbour") || !standing.delete("neighbour.toml")) wrong.push("the neighbour is not restored");
  else if (readFileSync(join(layers, "fuzz/neighbour/data"), "latin1") !== "good") wrong.push("the neighbour changed");
  if (standing.size > 0) wrong.push(`strangers: ${[...standing].join(" ")}`);
  return wrong;
}

/** One run; returns what it breaks. */
async function fuzz(seed: number, seeds: readonly Pieces[], dir: TempDir, tally: Tally): Promise<string[]> {
  const names = Array.from({ length: layersPerRun }, (_, index) => `l${String(index).padStart(3, "0")}`);
  setUp(dir, names, new Mutator(new Random(seed), seeds, dir.join("canary")));
  const watched = ["canary", "cache", "layers/bystander", "layers/group.toml", "layers/analyzed.toml"];
  const look = () => watched.flatMap((name) => stamps(dir.join(name))).join("\n");
  const before = look();
  const run = await restore(dir);
  tally.runs += 1;
  tally.layers += names.length;
  tally.peakRss = Math.max(tally.peakRss, run.peakRss);
  return [
    ...judgeRun(run),
    ...(look() === before ? [] : ["something outside of the layers changed"]),
    ...judgeLayers(dir.join("layers"), names, run, tally),
  ];
}

const seconds = Number(process.argv[2] ?? 600);
const firstSeed = Number(process.env.SEED ?? Date.now() % 2 ** 31);
const once = process.env.SEED !== undefined;
const tally: Tally = { runs: 0, layers: 0, restored: 0, peakRss: 0 };
using seedDir = tempDir("fuzz-seeds");
const seeds = readSeeds(seedDir);
console.log(`fuzzing for ${seconds} s with seed ${firstSeed}; SEED=<n> repeats one run`);
const end = performance.now() + seconds * 1000;
let failed = 0;
for (let seed = firstSeed; performance.now() < end && failed < 5; seed++) {
  using dir = tempDir("fuzz", { canary: canaryTree });
  const wrong = await fuzz(seed, seeds, dir, tally);
  if (wrong.length > 0) {
    failed += 1;
    const kept = join(project, "tmp", `fuzz-${seed}`);
    cpSync(dir.join("cache"), kept, { recursive: true });
    console.error(`SEED=${seed} breaks a promise, its cache is kept in ${kept}:\n  ${wrong.join("\n  ")}`);
  }
  if (once) break;
}
const { runs, layers, restored, peakRss } = tally;
console.log(
  `${runs} runs, ${layers} layers, ${restored} of them restored, peak RSS ${Math.round(peakRss / 2 ** 20)} MiB, ${failed} runs failed`,
);
process.exitCode = failed > 0 ? 1 : 0;
