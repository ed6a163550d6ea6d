import { existsSync, statSync } from "node:fs";
import { join, resolve } from "node:path";

const project = resolve(import.meta.dir, "../..");
/** What `dist/restorer` is made of: the same as in the Makefile. */
const sources = ["Makefile", "package.json", "package-lock.json", "restorer.ts", "lib/**/*.ts", "build/*"];

/**
 * The compiled executable: $RESTORER, or dist/restorer.
 *
 * @throws where there is none, or where dist/restorer is older than a source: no test runs an old executable silently
 */
export function restorerPath(): string {
  return process.env.RESTORER ? given(resolve(process.env.RESTORER)) : built();
}

function given(path: string): string {
  if (!existsSync(path)) throw new Error(`RESTORER is ${path}, and that file does not exist`);
  return path;
}

let upToDate: string | undefined;

/** Looks once for each process: most tests ask many times. */
function built(): string {
  upToDate ??= checked(join(project, "dist", "restorer"));
  return upToDate;
}

function checked(path: string): string {
  if (!existsSync(path)) throw new Error(`${path} does not exist: run "make build" first, or set RESTORER`);
  const age = statSync(path).mtimeMs;
  for (const source of sources.flatMap((pattern) => [...new Bun.Glob(pattern).scanSync(project)])) {
    if (statSync(join(project, source)).mtimeMs <= age) continue;
    throw new Error(`dist/restorer is older than ${source}: run "make build" first`);
  }
  return path;
}
