import { beforeAll, describe, expect, test } from "bun:test";
import { lstatSync } from "node:fs";
import { type Case, caseNames, readCase } from "../conformance/case.ts";
import { nobody, place, type Scene } from "../conformance/place.ts";
import { environment } from "../conformance/run.ts";
import { canRunAs, hangMs, isRoot, type RunResult, startRestorer } from "../support/harness.ts";

/** What is found out only by reading a blob, or by writing: there `explain` says what is planned. */
const foundOutLater = new Set(["blob-unusable", "place-taken", "same-place"]);

/** Cases run beside each other, since most of their time they wait. */
const atOnce = 4;

interface Told {
  readonly buildpack: string;
  readonly layer: string;
  readonly code: string;
  readonly cache?: string;
}

interface Explained {
  readonly layers: readonly (Told & { readonly writes: readonly string[]; readonly removes: readonly string[] })[];
}

interface Report {
  readonly layers: readonly Told[];
  readonly error?: unknown;
}

interface Verified {
  readonly cache: { readonly reference: string };
  readonly layers: readonly (Partial<Told> & { readonly state: string })[];
}

/** What the commands say of a case, and then a restore does; undefined where that is not told, or fails. */
type Outcome =
  | {
      readonly explain: RunResult;
      readonly verify: RunResult | undefined;
      readonly report: Report;
      /** Of the paths that would be written those that are not there, and of those that would be removed those that are. */
      readonly astray: readonly string[];
    }
  | undefined;

const cases = caseNames().map(readCase).filter(canRun);

function canRun({ definition: { needs, args } }: Case): boolean {
  if (needs.includes("root") && !isRoot) return false;
  if (needs.includes("amd64") && process.arch !== "x64") return false;
  if (needs.includes("nonroot") && isRoot && !canRunAs(nobody)) return false;
  // A command line that asks for something else, or is wrong.
  return args.every((argument) => !/^--?(help|h|version)$/.test(argument));
}

async function outcomeOf(theCase: Case): Promise<Outcome> {
  await using scene = await place(theCase, false);
  const args = scene.definition.args.filter((word) => word !== "restore");
  const start = (...words: string[]) => startOn(scene, theCase, words).result;
  // It changes nothing, and a restore changes no cache.
  const explain = await start("explain", ...args, "-output", "json");
  const report = parse<Report>((await start(...scene.definition.args)).stdout);
  if (report === undefined || report.error !== undefined) return undefined;
  const astray = findAstray(parse<Explained>(explain.stdout)?.layers ?? [], report);
  const hasBlobs = blobsOf(report).length > 0;
  const verify = hasBlobs ? await start("verify", ...cacheFlags(args), "-output", "json") : undefined;
  return { explain, verify, report, astray };
}

function findAstray(explained: Explained["layers"], report: Report): string[] {
  const codes = new Map(report.layers.map(({ buildpack, layer, code }) => [`${buildpack}:${layer}`, code]));
  const foreseen = explained.filter(({ buildpack, layer, code }) => codes.get(`${buildpack}:${layer}`) === code);
  const written = new Set(foreseen.flatMap(({ writes }) => writes));
  const gone = foreseen.flatMap(({ removes }) => removes).filter((path) => !written.has(path));
  const stands = (path: string) => lstatSync(path, { throwIfNoEntry: false }) !== undefined;
  return [...[...written].filter((path) => !stands(path)), ...gone.filter(stands)];
}

/** The layers whose blobs the restore wanted. */
function blobsOf({ layers }: Report): readonly Told[] {
  return layers.filter(({ code }) => ["cached", "blob-unusable", "blob-unavailable"].includes(code));
}

function startOn({ definition, path, user, ...rest }: Scene, theCase: Case, words: readonly string[]) {
  const api = theCase.definition.platformApis.at(-1) ?? "0.15";
  const scene = { definition, path, user, ...rest };
  return startRestorer(words, {
    env: { ...environment(scene, api, false), ...definition.env, CNB_RESTORE_REPORT: "-" },
    cwd: definition.cwd ?? path("work"),
    umask: Number.parseInt(definition.umask, 8),
    ...(user === undefined ? {} : { uid: user, gid: user }),
  });
}

/** Of a restore's arguments those that name a cache, and how to reach it. */
function cacheFlags(args: readonly string[]): string[] {
  return args.flatMap((word, at) => {
    const [, name = "", value] =
      /^--?(cache-dir|cache-image|cache-volume|cache-from|insecure-registry)(=.*)?$/s.exec(word) ?? [];
    const flag = name === "cache-volume" ? "-cache-dir" : `-${name}`;
    return name === "" ? [] : [flag, value?.slice(1) ?? args[at + 1] ?? ""];
  });
}

function parse<T>(text: string): T | undefined {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** Starts all, some at a time. */
function startAll(): Map<string, Promise<Outcome>> {
  const queue = [...cases];
  const workers = Array.from({ length: atOnce }, () => Promise.resolve());
  return new Map(
    queue.map((each, at) => {
      const outcome = (workers[at % atOnce] ?? Promise.resolve()).then(() => outcomeOf(each));
      workers[at % atOnce] = outcome.then(
        () => {},
        () => {},
      );
      return [each.name, outcome];
    }),
  );
}

describe("explain says what a restore then does, and verify what it finds of blobs:", () => {
  let outcomes = new Map<string, Promise<Outcome>>();
  let compared = 0;
  const verified = { sound: 0, bad: 0 };
  beforeAll(() => {
    outcomes = startAll();
  });

  for (const { name: caseName } of cases) {
    test(
      caseName,
      async () => {
        const outcome = await outcomes.get(caseName);
        if (outcome === undefined) return;
        const { explain, verify, report, astray } = outcome;
        expect(astray).toEqual([]);
        const { exitCode, stderr } = explain;
        expect({ exitCode, stderr: exitCode === 0 ? "" : stderr }).toEqual({ exitCode: 0, stderr: "" });
        const explained = parse<Report>(explain.stdout)?.layers ?? [];
        const codes = new Map(explained.map(({ buildpack, layer, code }) => [`${buildpack}:${layer}`, code]));
        const restored = report.layers.map(({ buildpack, layer, code }) => [`${buildpack}:${layer}`, code] as const);
        expect([...codes.keys()].sort()).toEqual(restored.map(([name]) => name).sort());
        for (const [name, code] of restored.filter(([, code]) => !foundOutLater.has(code))) {
          expect({ name, code: codes.get(name) }).toEqual({ name, code });
        }
        compared += restored.length;
        if (verify !== undefined) compareBlobs(report, verify);
      },
      2 * hangMs,
    );
  }

  /** Of each layer whose blob the restore read, verify says what that found. */
  function compareBlobs(report: Report, { exitCode, stdout, stderr }: RunResult): void {
    const found = parse<Verified>(stdout);
    if (found === undefined) throw new Error(`verify ended with ${exitCode}: ${stderr}`);
    expect(exitCode).toBe(found.layers.some(({ state }) => state === "bad") ? 42 : 0);
    for (const { buildpack, layer, code, cache } of blobsOf(report)) {
      // What a cache to fall back on gave is another blob.
      if (cache !== undefined && cache !== found.cache.reference) continue;
      const said = found.layers.find((one) => one.buildpack === buildpack && one.layer === layer);
      const expected = code === "cached" ? { state: "sound", code: "sound" } : { state: "bad", code };
      expect({ layer, state: said?.state, code: said?.code }).toEqual({ layer, ...expected });
      if (code === "cached") verified.sound += 1;
      else verified.bad += 1;
    }
  }

  test("and that was compared for hundreds of layers", () => {
    expect(compared).toBeGreaterThan(200);
    expect(verified.sound).toBeGreaterThan(100);
    expect(verified.bad).toBeGreaterThan(10);
  });
});
