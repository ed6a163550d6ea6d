/**
 * What `make test` runs: test files, each in a process of its own, with a line for each as it finishes. Words given as an
 * argument pick files by their paths, or else tests by their names. Ends with one line, `N passed, N failed`, and fails
 * when anything failed or nothing ran.
 */
import { hangMs, restorerPath } from "./support/harness.ts";
import {
  counts,
  type FileOptions,
  type FileResult,
  type RunningFile,
  runsAlone,
  startTestFile,
  type Tally,
  total,
} from "./support/test-file.ts";

/** Two, since most tests wait for the executable, and it has threads of its own. */
const besideEachOther = 2;
/** How long a file may take before it counts as hanging: several of its tests may hang, and each has its own limit. */
const fileHangMs = 4 * hangMs;
/** A sign of life is printed where no file finishes for this long. */
const signOfLifeMs = 60_000;

interface Selection {
  readonly files: readonly string[];
  /** Only tests with this in their names. */
  readonly name?: string;
}

/** Files whose paths hold one of the words, where each word finds some; else tests with all of the words in a row. */
function select(words: readonly string[]): Selection {
  const files = [...new Bun.Glob("test/**/*.test.ts").scanSync()].sort();
  const holds = (file: string, word: string): boolean => file.includes(word);
  if (!words.every((word) => files.some((file) => holds(file, word)))) return { files, name: words.join(" ") };
  return { files: words.length === 0 ? files : files.filter((file) => words.some((word) => holds(file, word))) };
}

/** Runs test files and prints what comes of them. */
class Run {
  readonly #selection: Selection;
  readonly #restorer = restorerPath();
  readonly #running = new Set<RunningFile>();
  readonly #tallies: Tally[] = [];
  readonly #failures: string[] = [];
  #lastSign = performance.now();

  constructor(selection: Selection) {
    this.#selection = selection;
  }

  async run(): Promise<void> {
    const { files } = this.#selection;
    const [alone, others] = [files.filter((file) => runsAlone(file)), files.filter((file) => !runsAlone(file))];
    const timer = setInterval(() => this.#showLife(), signOfLifeMs / 6);
    await this.#runAll(others, files.length === 1 ? 1 : besideEachOther);
    await this.#runAll(alone, 1);
    clearInterval(timer);
  }

  /** Takes files from one queue, some at once; where that is one it shows what the tests print as it comes. */
  async #runAll(files: readonly string[], atOnce: number): Promise<void> {
    const queue = [...files];
    const { name } = this.#selection;
    const live = atOnce === 1 && name === undefined;
    const work = async (): Promise<void> => {
      for (let file = queue.shift(); file !== undefined; file = queue.shift()) {
        await this.#runFile(file, { restorer: this.#restorer, name, live });
      }
    };
    await Promise.all(Array.from({ length: atOnce }, work));
  }

  async #runFile(path: string, options: FileOptions): Promise<void> {
    const file = startTestFile(path, options);
    this.#running.add(file);
    const timer = setTimeout(() => file.kill(), fileHangMs);
    const result = await file.result;
    clearTimeout(timer);
    if (this.#running.delete(file)) this.#show(path, result);
  }

  #show(path: string, { output, problem, seconds, ...tally }: FileResult): void {
    this.#tallies.push(tally);
    // Of tests picked by name most files have none, and what they say about others is of no interest.
    if (this.#selection.name !== undefined && tally.passed + tally.failed + tally.skipped === 0) return;
    this.#lastSign = performance.now();
    for (const line of output) console.log(line);
    console.log(`${tally.failed > 0 ? "FAILED" : "ok"} ${path}: ${counts(tally)}, ${seconds.toFixed(1)} s`);
    if (problem !== undefined) console.log(`  ${path} ${problem}`);
    if (tally.failed > 0) this.#failures.push(`${path}: ${problem ?? counts(tally)}`);
  }

  #showLife(): void {
    const now = performance.now();
    if (now - this.#lastSign < signOfLifeMs) return;
    this.#lastSign = now;
    const files = [...this.#running].map(
      ({ path, startedAt }) => `${path} (${((now - startedAt) / 1000).toFixed(0)} s)`,
    );
    console.log(`Still running: ${files.join(", ")}`);
  }

  /** Counts what runs as failed: it did not finish. */
  stop(signal: string): void {
    for (const file of this.#running) {
      file.kill();
      this.#fail(`${file.path}: did not finish before ${signal}`);
    }
    this.#running.clear();
  }

  #fail(why: string): void {
    this.#failures.push(why);
    this.#tallies.push({ passed: 0, failed: 1, skipped: 0 });
  }

  /** Prints the closing line; returns the exit code. */
  close(): number {
    const { name } = this.#selection;
    const found = total(this.#tallies);
    if (name !== undefined && found.passed + found.failed + found.skipped === 0) {
      this.#fail(`nothing to run: "${name}" is neither in the path of a test file nor in the name of a test`);
    }
    const all = total(this.#tallies);
    for (const failure of this.#failures) console.log(`FAILED: ${failure}`);
    console.log(`\n${counts(all)}`);
    return this.#failures.length > 0 || all.passed === 0 ? 1 : 0;
  }
}

process.chdir(`${import.meta.dir}/..`);
const words = process.argv.slice(2).join(" ").split(/\s+/).filter(Boolean);
const run = new Run(select(words));
for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) {
  process.on(signal, () => {
    run.stop(signal);
    process.exit(run.close());
  });
}
await run.run();
process.exitCode = run.close();
