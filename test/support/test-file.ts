import { readFileSync } from "node:fs";
import { resolve } from "node:path";
import { hangMs } from "./run-restorer.ts";

const project = resolve(import.meta.dir, "../..");

/** How many tests ended how. An error outside of a test counts as failed. */
export interface Tally {
  readonly passed: number;
  readonly failed: number;
  readonly skipped: number;
}

const nothing: Tally = { passed: 0, failed: 0, skipped: 0 };

/** What came of a test file. */
export interface FileResult extends Tally {
  readonly seconds: number;
  /** What the tests printed, without the runner's own lines; empty where it was printed as it came. */
  readonly output: readonly string[];
  /** Why the file counts as failed although no test of it did: it crashed, or did not finish. */
  readonly problem?: string;
}

/** A test file that runs in a process of its own. */
export interface RunningFile {
  readonly path: string;
  readonly startedAt: number;
  readonly result: Promise<FileResult>;
  kill(): void;
}

export interface FileOptions {
  /** The compiled executable that the tests run. */
  readonly restorer: string;
  /** Only tests with this in their names, those of their groups before them. */
  readonly name?: string | undefined;
  /** Prints the output as it comes. */
  readonly live: boolean;
}

/** A line that begins with this in a test file keeps other files from running at the same time. */
const aloneMark = /^\/\/ Runs alone\b/m;

/** Whether a test file, named from the project's folder, asks to run alone. */
export function runsAlone(path: string): boolean {
  return aloneMark.test(readFileSync(resolve(project, path), "utf8"));
}

/** Lines of `bun test` about itself: its version, counts and file names. */
const ownLine =
  /^(bun test v.*| *[0-9]+ (pass|fail|skip|todo|error|filtered out|expect\(\) calls)s?|Ran [0-9]+ tests?.*|test\/\S+\.test\.ts:|killed [0-9]+ dangling process.*|)$/;

/** How long what a file has printed may take to arrive after its process has ended. */
const pipeGraceMs = 30_000;

/** Starts the tests of a file. */
export function startTestFile(path: string, options: FileOptions): RunningFile {
  const filter = options.name === undefined ? [] : ["--test-name-pattern", RegExp.escape(options.name)];
  const argv = [process.execPath, "test", `--timeout=${hangMs}`, "--only-failures", ...filter, `./${path}`];
  const startedAt = performance.now();
  // Both streams into one, in the order they are written.
  const child = Bun.spawn(["sh", "-c", 'exec "$@" 2>&1', "sh", ...argv], {
    cwd: project,
    env: { ...process.env, RESTORER: options.restorer },
    stdin: "ignore",
    stdout: "pipe",
    stderr: "inherit",
  });
  const lines: string[] = [];
  const read = async (): Promise<void> => {
    for await (const line of linesOf(child.stdout)) {
      lines.push(line);
      if (options.live && !ownLine.test(line)) console.log(line);
    }
  };
  const result = async (): Promise<FileResult> => {
    const reading = read();
    await child.exited;
    const seconds = (performance.now() - startedAt) / 1000;
    // A process that a crashed test has left behind may hold the pipe open for ever.
    await Promise.race([reading, Bun.sleep(pipeGraceMs)]);
    const output = options.live ? [] : lines.filter((line) => !ownLine.test(line));
    return { ...judge(lines, child.signalCode ?? child.exitCode ?? 0), seconds, output };
  };
  return { path, startedAt, result: result(), kill: () => child.kill() };
}

async function* linesOf(stream: ReadableStream<Uint8Array>): AsyncGenerator<string> {
  const decoder = new TextDecoder();
  let rest = "";
  for await (const chunk of stream) {
    const parts = (rest + decoder.decode(chunk, { stream: true })).split("\n");
    rest = parts.pop() ?? "";
    yield* parts;
  }
  if (rest !== "") yield rest;
}

/** Reads the counts that `bun test` ends with, and mistrusts an end without them. */
function judge(lines: readonly string[], end: string | number): Tally & { readonly problem?: string } {
  if (lines.some((line) => /^error: regex .* matched 0 tests\./.test(line))) return nothing;
  const counted = (what: string): number => last(lines, new RegExp(`^ *([0-9]+) ${what}s?$`)) ?? 0;
  const tally = {
    passed: counted("pass"),
    // An error outside of a test counts as a failed test, too, but not always.
    failed: Math.max(counted("fail"), counted("error")),
    skipped: counted("skip") + counted("todo"),
  };
  const ran = last(lines, /^Ran ([0-9]+) tests? across 1 file\./);
  if (ran === undefined) {
    const how = typeof end === "string" ? `was ended by ${end}` : `ended with exit code ${end}`;
    return { ...tally, failed: tally.failed + 1, problem: `did not finish: its process ${how}` };
  }
  if (tally.failed > 0) return tally;
  if (ran === 0) return { ...tally, failed: 1, problem: "has no tests" };
  return end === 0 ? tally : { ...tally, failed: 1, problem: `ended with ${end}, although no test failed` };
}

/** The number that a pattern captures in the last line it matches. */
function last(lines: readonly string[], pattern: RegExp): number | undefined {
  const match = lines.findLast((line) => pattern.test(line))?.match(pattern);
  return match?.[1] === undefined ? undefined : Number(match[1]);
}

/** Adds up. */
export function total(tallies: readonly Tally[]): Tally {
  const all = (key: keyof Tally): number => tallies.reduce((sum, tally) => sum + tally[key], 0);
  return { passed: all("passed"), failed: all("failed"), skipped: all("skipped") };
}

/** `5 passed, 0 failed`, and `, 1 skipped` where there are any. */
export function counts({ passed, failed, skipped }: Tally): string {
  return `${passed} passed, ${failed} failed${skipped > 0 ? `, ${skipped} skipped` : ""}`;
}
