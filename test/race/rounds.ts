import {
  chmodSync,
  existsSync,
  lchownSync,
  lstatSync,
  lutimesSync,
  mkdirSync,
  readdirSync,
  renameSync,
  rmSync,
  symlinkSync,
} from "node:fs";
import { join } from "node:path";
import { makeCache } from "../support/cache-fixture.ts";
import { stamps } from "../support/canary.ts";
import { type FaultRegistry, startFaultRegistry, testImage } from "../support/fault-registry.ts";
import { have, removeTree, restorerPath, type TempDir, tempDir, writeTree } from "../support/harness.ts";
import { layoutTree } from "../support/layout-fixture.ts";
import { attacker, type Ground, type Kind, raceCanary, roundTree } from "./kinds.ts";

/** What came of the rounds of one kind. */
export interface Tally {
  readonly kind: string;
  rounds: number;
  /** Rounds after which something outside was not as before, or a run that did not end as it may. */
  readonly hits: { readonly round: number; readonly what: readonly string[] }[];
  /** How many runs ended with which exit code: losing a race may end a run, but with no more than an error. */
  readonly exits: Map<string, number>;
}

/** After so many rounds what they left is removed, when no adversary lives that could mislead the removal. */
const roundsPerBatch = 40;
const longestRunMs = 120_000;

/** Runs the executable against an adversary again and again. Needs root. `tell` hears of hits at once, and now and then how far it is. */
export async function race(kind: Kind, rounds: number, tell: (text: string) => void = () => {}): Promise<Tally> {
  const tally: Tally = { kind: kind.name, rounds: 0, hits: [], exits: new Map() };
  await using registry = await startFaultRegistry();
  registry.push("build", "latest", testImage({ layers: [Buffer.from("build")] }));
  while (tally.rounds < rounds) {
    await using batch = new Batch(kind, registry);
    for (let left = roundsPerBatch; left > 0 && tally.rounds < rounds; left--) {
      tally.rounds += 1;
      const { exit, changed } = await batch.round(tally.rounds);
      if (tally.rounds % 100 === 0) tell(`${kind.name}: round ${tally.rounds}, ${tally.hits.length} hits`);
      tally.exits.set(exit, (tally.exits.get(exit) ?? 0) + 1);
      const what = ["0", "1", "42"].includes(exit) ? changed : [...changed, `the run ended with ${exit}`];
      if (what.length === 0) continue;
      tally.hits.push({ round: tally.rounds, what });
      tell(`HIT ${kind.name}, round ${tally.rounds}:\n  ${what.join("\n  ")}`);
    }
  }
  return tally;
}

/** Some rounds in a directory of their own, with adversaries that live as long as it. */
class Batch implements AsyncDisposable {
  readonly #dir: TempDir;
  readonly #kind: Kind;
  readonly #registry: FaultRegistry;
  readonly #adversaries: Bun.Subprocess[];

  constructor(kind: Kind, registry: FaultRegistry) {
    this.#kind = kind;
    this.#registry = registry;
    this.#dir = tempDir("race", { canary: raceCanary, tree: { data: "good" }, layouts: layoutTree("host.test/run") });
    makeCache(this.#dir.join("cache"), [
      { id: "example/app", layers: [{ name: "dist", tree: this.#dir.join("tree") }] },
    ]);
    this.#adversaries = kind.swaps.map(({ place, pairs, lure }) => {
      const script = join(import.meta.dir, "swapper.ts");
      const args = [
        String(attacker),
        this.#dir.join("now"),
        place,
        JSON.stringify(pairs),
        ...(lure === undefined ? [] : [lure]),
      ];
      return Bun.spawn([process.execPath, script, ...args], { cwd: "/", stdin: "ignore", stderr: "inherit" });
    });
  }

  async round(number: number): Promise<{ exit: string; changed: string[] }> {
    const ground = this.#prepare(`round-${number}`);
    const canary = this.#dir.join("canary");
    const before = stamps(canary);
    const exit = await this.#restore(ground, number % 2 === 0 ? this.#kind.slow : undefined);
    rmSync(this.#dir.join("now"));
    const changed = differences(before, stamps(canary)).map((line) => line.replaceAll(this.#dir.path, ""));
    if (changed.length > 0) this.#renewCanary();
    const { reveals } = this.#kind;
    if (reveals !== undefined && existsSync(join(ground.round, reveals))) changed.push(`${reveals} is there`);
    return { exit, changed };
  }

  /** Made elsewhere and then put in place at once: no adversary is about while root makes it. */
  #prepare(name: string): Ground {
    const round = this.#dir.join(name);
    const [canary, cache, layouts] = [this.#dir.join("canary"), this.#dir.join("cache"), this.#dir.join("layouts")];
    const ground = { round, canary, cache, layouts, registry: this.#registry.host };
    mkdirSync(round);
    writeTree(round, roundTree);
    writeTree(round, this.#kind.tree(ground));
    for (const each of readdirSync(round)) giveAll(join(round, each));
    const { mode = 0o777 } = this.#kind;
    for (const place of ["layers", "kaniko"]) chmodSync(join(round, place), mode);
    symlinkSync(round, this.#dir.join("next"));
    renameSync(this.#dir.join("next"), this.#dir.join("now"));
    return ground;
  }

  async #restore(ground: Ground, slow: string | undefined): Promise<string> {
    const { round, cache } = ground;
    const args = ["-layers", `${round}/layers`, "-cache-dir", cache, "-kaniko-dir", `${round}/kaniko`];
    const child = Bun.spawn([...slowly(slow), restorerPath(), ...args, ...(this.#kind.args?.(ground) ?? [])], {
      env: { PATH: process.env.PATH, HOME: "/nonexistent", CNB_PLATFORM_API: "0.13" },
      cwd: "/",
      stdin: "ignore",
      stdout: "ignore",
      stderr: "ignore",
    });
    const timer = setTimeout(() => child.kill("SIGKILL"), longestRunMs);
    await child.exited;
    clearTimeout(timer);
    return String(child.signalCode ?? child.exitCode);
  }

  #renewCanary(): void {
    removeTree(this.#dir.join("canary"));
    writeTree(this.#dir.path, { canary: raceCanary });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const adversary of this.#adversaries) adversary.kill("SIGKILL");
    await Promise.all(this.#adversaries.map(({ exited }) => exited));
    this.#dir[Symbol.dispose]();
  }
}

/** What makes a run get the answers to a system call 5 ms late. */
function slowly(call: string | undefined): string[] {
  if (call === undefined || !have("strace")) return [];
  const delay = `inject=${call}:delay_exit=5000`;
  return ["strace", "-f", "-qq", "--seccomp-bpf", "-o", "/dev/null", "-e", `trace=${call}`, "-e", delay];
}

/** Gives the attacker a tree, links themselves included, as it was long ago: no run vouches for it. */
function giveAll(path: string): void {
  lchownSync(path, attacker, attacker);
  if (lstatSync(path).isDirectory()) for (const name of readdirSync(path)) giveAll(join(path, name));
  lutimesSync(path, 0, 0);
}

function differences(before: readonly string[], after: readonly string[]): string[] {
  const gone = before.filter((line) => !after.includes(line)).map((line) => `was ${line}`);
  const come = after.filter((line) => !before.includes(line)).map((line) => `is  ${line}`);
  return [...gone, ...come];
}
