import { lstatSync, readFileSync } from "node:fs";
import { dirname } from "node:path";
import type { Definition, Expectation } from "./case.ts";
import { changes, treeDifferences } from "./compare-tree.ts";
import type { Scene } from "./place.ts";
import type { Outcome } from "./run.ts";
import { parseToml } from "./toml.ts";
import { show, withoutZeroes } from "./value.ts";

/** How a run differs from what its case expects, a line each; none when it passed. */
export function compare(scene: Scene, outcome: Outcome, expect: Expectation = scene.definition.expect): string[] {
  return [
    ...exitDifferences(outcome, expect),
    ...fileDifferences(scene, expect),
    ...streamDifferences(outcome, expect),
    ...surroundingDifferences(outcome, expect),
  ];
}

/**
 * How a run of the reference differs from what its case says about it. Its streams are looked at together, without colours; its
 * umask is racy where it writes SBOM files, and so their modes do not matter.
 */
export function compareReference(scene: Scene, outcome: Outcome): string[] {
  const { expect, reference }: Definition = scene.definition;
  const { stdoutIncludes, stderrIncludes, outputExcludes } = expect;
  const output = (outcome.stdout + outcome.stderr).replaceAll(colours, "");
  return [
    ...exitDifferences(outcome, { ...expect, ...reference }),
    ...fileDifferences(scene, { ...expect, ...reference }, (path) => path.includes(".sbom.")),
    ...lacking("output", output, reference.outputIncludes ?? [...stdoutIncludes, ...stderrIncludes]),
    ...having(output, outputExcludes),
  ];
}

// biome-ignore lint/complexity/useRegexLiterals: a literal would hold the escape character
const colours = new RegExp("\x1b\\[[0-9;]*m", "g");

function exitDifferences({ exitCode, signal }: Outcome, expect: Expectation): string[] {
  if (exitCode !== null && expect.exit.includes(exitCode)) return [];
  return [`exit is ${exitCode ?? `by ${signal}`}, should be ${expect.exit.join(" or ")}`];
}

function fileDifferences(scene: Scene, expect: Expectation, anyMode?: (path: string) => boolean): string[] {
  return [
    ...(expect.tree === null ? [] : treeDifferences("layers", expect.tree, scene.path("layers"), anyMode)),
    ...(expect.kaniko === null ? [] : treeDifferences("kaniko", expect.kaniko, scene.path("kaniko"))),
    ...analyzedDifferences(scene, expect),
  ];
}

function analyzedDifferences(scene: Scene, { analyzed, analyzedPath }: Expectation): string[] {
  if (analyzed === undefined || analyzed === null) return [];
  const should = show(withoutZeroes(analyzed));
  try {
    const is = show(withoutZeroes(parseToml(readFileSync(scene.path(analyzedPath)))));
    return is === should ? [] : [`${analyzedPath}: is ${is}, should be ${should}`];
  } catch (error) {
    return [`${analyzedPath}: cannot be read (${error}), should be ${should}`];
  }
}

function streamDifferences({ stdout, stderr }: Outcome, expect: Expectation): string[] {
  const lines = [
    ...lacking("stdout", stdout, expect.stdoutIncludes),
    ...lacking("stderr", stderr, expect.stderrIncludes),
    ...having(stdout + stderr, expect.outputExcludes),
  ];
  if (expect.stderrNotEmpty && stderr.trim() === "") lines.push("stderr is empty, should have a warning");
  if ((stdout + stderr).includes("\x1b")) lines.push("output has colour codes, though it is no terminal");
  if (expect.silentStdout && stdout.trim() !== "") lines.push(`stdout is ${excerpt(stdout)}, should be empty`);
  if (expect.silentStderr && stderr.trim() !== "") lines.push(`stderr is ${excerpt(stderr)}, should be empty`);
  return lines;
}

function lacking(stream: string, text: string, wanted: readonly string[]): string[] {
  const lower = text.toLowerCase();
  const lacks = wanted.filter((part) => !lower.includes(part.toLowerCase()));
  return lacks.map((part) => `${stream} is ${excerpt(text)}, should have ${JSON.stringify(part)}`);
}

function having(output: string, unwanted: readonly string[]): string[] {
  const has = unwanted.filter((part) => output.includes(part));
  return has.map((part) => `output is ${excerpt(output)}, should not have ${JSON.stringify(part)}`);
}

function excerpt(text: string): string {
  return JSON.stringify(text.length > 200 ? `${text.slice(0, 200)}…` : text);
}

function surroundingDifferences({ before, after }: Outcome, expect: Expectation): string[] {
  // A file that may change touches its directory.
  const mayChange = new Set(expect.mayChange.flatMap((path) => [path, dirname(path)]));
  const without = (all: ReadonlyMap<string, string>) => new Map([...all].filter(([path]) => !mayChange.has(path)));
  const present = expect.absent.filter((path) => lstatSync(path, { throwIfNoEntry: false }) !== undefined);
  return [
    ...(expect.cacheUnchanged ? changes("cache", before.cache, after.cache) : []),
    ...changes("outside", without(before.outside), without(after.outside)),
    ...present.map((path) => `outside: ${path} appeared`),
  ];
}
