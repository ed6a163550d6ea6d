/**
 * What `make test` runs: the tests of this folder. Ends with one line, `N passed, N failed`, and fails when anything failed or
 * nothing ran.
 */
import { resolve } from "node:path";

interface Tally {
  readonly passed: number;
  readonly failed: number;
  readonly skipped: number;
}

const project = resolve(import.meta.dir, "..");
/** Two, since most tests wait for the executable, and it has threads of its own. */
const processes = 2;
/** For one test, in ms; the slowest take seconds, on a busy machine several times that. */
const timeout = 60_000;

/** Runs a command in the project's folder and shows its output line by line as it comes, but for lines of no interest. */
async function show(
  argv: readonly string[],
  isShown: (line: string) => boolean,
): Promise<{ exitCode: number; lines: string[] }> {
  // Both streams into one, in the order they are written.
  const child = Bun.spawn(["sh", "-c", 'exec "$@" 2>&1', "sh", ...argv], {
    cwd: project,
    stdin: "ignore",
    stdout: "pipe",
    stderr: "inherit",
  });
  const lines: string[] = [];
  const take = (line: string): void => {
    lines.push(line);
    if (isShown(line)) console.log(line);
  };
  const decoder = new TextDecoder();
  let rest = "";
  for await (const chunk of child.stdout) {
    const parts = (rest + decoder.decode(chunk, { stream: true })).split("\n");
    rest = parts.pop() ?? "";
    for (const line of parts) take(line);
  }
  if (rest !== "") take(rest);
  return { exitCode: await child.exited, lines };
}

/** The tests of this folder, in files that run beside each other in processes of their own. */
async function runTests(): Promise<Tally> {
  const files = [...new Bun.Glob("**/*.test.ts").scanSync({ cwd: import.meta.dir })].sort();
  console.log(`Tests: ${files.length} files`);
  const paths = files.map((file) => `./test/${file}`);
  const argv = [
    process.execPath,
    "test",
    `--parallel=${processes}`,
    `--timeout=${timeout}`,
    "--only-failures",
    ...paths,
  ];
  const { exitCode, lines } = await show(argv, (line) => !/^bun test v/.test(line));
  const counted = (what: string): number => last(lines, new RegExp(`^ *([0-9]+) ${what}s?$`)) ?? 0;
  const ran = last(lines, /^Ran [0-9]+ tests? across ([0-9]+) files?\./);
  const failed = counted("fail");
  if (failed === 0 && (exitCode !== 0 || ran !== files.length)) {
    console.log(
      `FAILED: the test runner ended with ${exitCode}, after ${ran ?? "an unknown number"} of ${files.length} files`,
    );
    return {
      passed: counted("pass"),
      failed: Math.max(1, counted("error")),
      skipped: counted("skip") + counted("todo"),
    };
  }
  return { passed: counted("pass"), failed, skipped: counted("skip") + counted("todo") };
}

/** The number that a pattern captures in the last line it matches. */
function last(lines: readonly string[], pattern: RegExp): number | undefined {
  const match = lines.findLast((line) => pattern.test(line))?.match(pattern);
  return match?.[1] === undefined ? undefined : Number(match[1]);
}

function sum({ passed, failed, skipped }: Tally): string {
  return `${passed} passed, ${failed} failed${skipped > 0 ? `, ${skipped} skipped` : ""}`;
}

const tally = await runTests();
console.log(`\n${sum(tally)}`);
process.exitCode = tally.failed > 0 || tally.passed === 0 ? 1 : 0;
