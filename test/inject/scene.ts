import { chmodSync, mkdirSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { buildpack, Caches, layersDir } from "../layers/versions.ts";
import { analyzedToml, groupToml } from "../support/cache-fixture.ts";
import { canaryTree, stamps } from "../support/canary.ts";
import { type RunResult, restorerPath, runRestorer, type TempDir, tempDir, writeTree } from "../support/harness.ts";
import { layoutTree } from "../support/layout-fixture.ts";
import { callsOf, type Injection, knownCalls, straceOption } from "./calls.ts";

/** How a run may end whatever fails; a killed one has no exit code. */
const exitCodes = [0, 1, 42];
/** Nobody waits longer for one call that fails: this guards against hangs only. */
const hangMs = 300_000;

/** Whose run it is: root's all the time, or the user's who takes over. */
export type Variant = "root" | "dropped";
const user = ["-uid", "12345", "-gid", "12345"];

/** What no message may look like: a stack trace, the runtime's own words, a path that means nothing to a reader. */
const raw =
  /^\s+at .*[:(]|\bpanic|oh no|Bun v\d|TypeError|ReferenceError|\[object |\/proc\/self\/fd\/|\bE(IO|NOSPC|PERM|MFILE|INTR): |undefined/m;

/** Layers of one version that stand, and a cache with another, to be restored while system calls fail. */
export class InjectionScene implements Disposable {
  readonly #caches = new Caches(8, 100 * 1024, ["big"]);
  readonly #dir: TempDir;
  readonly #variant: Variant;
  #count = 0;

  private constructor(variant: Variant) {
    this.#variant = variant;
    this.#dir = tempDir("inject", { canary: canaryTree, layouts: layoutTree("host.test/run"), runs: {} });
  }

  static async make(variant: Variant): Promise<InjectionScene> {
    const scene = new InjectionScene(variant);
    const layers = layersDir(scene.#dir, "standing");
    const { exitCode, stderr } = await runRestorer(scene.#caches.args(layers, "red"), { umask: 0o022 });
    if (exitCode !== 0) throw new Error(`the restore of what stands ended with ${exitCode}: ${stderr}`);
    writeTree(scene.#dir.path, { standing: scene.#inputs() });
    return scene;
  }

  #inputs() {
    const image = "host.test/run";
    const analyzed = { runImage: { reference: image, image }, buildpacks: [{ id: buildpack, store: { kept: "yes" } }] };
    return {
      "group.toml": groupToml([{ id: buildpack }], [{ id: "example/extension" }]),
      "analyzed.toml": analyzedToml(analyzed),
    };
  }

  /** The calls that a run makes, without any fault. */
  async calls(): Promise<{ call: string; nth: number }[]> {
    const run = this.#fresh();
    const trace = join(run, "trace");
    const known = await knownCalls();
    const { exitCode, stderr } = await this.#restore(run, ["-yy", "-o", trace, "-e", `trace=${known.join(",")}`]);
    if (exitCode !== 0) throw new Error(`the run that is traced ended with ${exitCode}: ${stderr}`);
    return callsOf(await Bun.file(trace).text(), "/layers/group.toml").filter(({ call }) => known.includes(call));
  }

  /** How many runs were killed so far. */
  killed = 0;

  /** Runs with a fault, and then without; returns what is not as promised. */
  async inject(injection: Injection): Promise<string[]> {
    const run = this.#fresh();
    const look = () => [...stamps(this.#caches.cache("blue").path), ...stamps(this.#dir.join("canary"))].join("\n");
    const before = look();
    const trace = `trace=${injection.call}`;
    // With its filter strace is quicker, but sends no signal.
    const filter = injection.fault === "SIGKILL" ? [] : ["--seccomp-bpf"];
    const strace = [...filter, "-o", "/dev/null", "-e", trace, "-e", straceOption(injection)];
    const first = await this.#restore(run, strace);
    if (first.signal === "SIGKILL") this.killed += 1;
    // SBOM files that cannot be had cost no layer (D9).
    const without = first.stderr.includes("Not restoring SBOM file") ? ["blue toml without its SBOM"] : [];
    const wrong = [...judgeRun(first, injection), ...this.#judgeLayers(run, ["red", "blue", "absent", ...without])];
    if (look() !== before) wrong.push("the cache or what lies outside was changed");
    const second = await this.#restore(run);
    const isClean = second.exitCode === 0 && second.stderr === "";
    if (!isClean) wrong.push(`the next run ended with ${second.exitCode}: ${second.stderr}`);
    wrong.push(...this.#judgeLayers(run, ["blue"]).map((what) => `after the next run, ${what}`));
    const left = readdirSync(join(run, "layers"), { recursive: true, encoding: "utf8" }).filter(isPrivate);
    if (left.length > 0) wrong.push(`after the next run there is ${left.join(", ")}`);
    if (wrong.length > 0)
      wrong.push(`the run with the fault ended with ${first.exitCode ?? first.signal}: ${first.stderr}`);
    Bun.spawnSync(["rm", "-rf", run]);
    return wrong;
  }

  /** A directory with the layers that stand, and nothing else. */
  #fresh(): string {
    this.#count += 1;
    const run = this.#dir.join("runs", String(this.#count));
    mkdirSync(run);
    chmodSync(run, 0o777);
    Bun.spawnSync(["cp", "-a", this.#dir.join("standing"), join(run, "layers")]);
    return run;
  }

  #restore(run: string, strace?: readonly string[]): Promise<RunResult> {
    const layers = join(run, "layers");
    const images = ["-layout", "-layout-dir", this.#dir.join("layouts"), "-report", join(run, "report.json")];
    const own = this.#variant === "dropped" ? user : [];
    const command = strace && ["strace", "-f", "-qq", ...strace, restorerPath()];
    return runRestorer([...this.#caches.args(layers, "blue"), ...images, ...own], {
      env: { CNB_PLATFORM_API: "0.13" },
      umask: 0o022,
      timeoutMs: hangMs,
      ...(command && { command }),
    });
  }

  #judgeLayers(run: string, allowed: readonly string[]): string[] {
    const states = this.#caches.states(join(run, "layers"));
    return states.every((state) => allowed.includes(state)) ? [] : [`layers are ${states.join(", ")}`];
  }

  [Symbol.dispose](): void {
    this.#caches[Symbol.dispose]();
    this.#dir[Symbol.dispose]();
  }
}

const isPrivate = (name: string): boolean => name.includes(".restorer-");

function judgeRun({ exitCode, signal, stdout, stderr }: RunResult, { fault }: Injection): string[] {
  const wrong: string[] = [];
  const ended = exitCode === null ? fault === "SIGKILL" && signal === "SIGKILL" : exitCodes.includes(exitCode);
  if (!ended) wrong.push(`it ended with ${exitCode ?? signal}`);
  const words = raw.exec(stdout + stderr);
  if (words !== null) wrong.push(`it says ${JSON.stringify(words[0])}`);
  return wrong;
}
