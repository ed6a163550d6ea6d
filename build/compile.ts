/**
 * `bun build/compile.ts <output> <commit> [x64|arm64 <runtime>]`: the executable, with the runtime of this machine, or that
 * of a file for another one.
 */

import { dirname, join, relative } from "node:path";
import { Glob } from "bun";

const root = dirname(import.meta.dir);

/** Where threads begin: their code is loaded by its path. */
const threads = ["blob", "layer", "small"].map((name) => join(root, `lib/archive/${name}-thread.ts`));
const main = join(root, "restorer.ts");

const transpiler = new Bun.Transpiler({ loader: "ts" });
const sourceOf = (path: string) => Bun.file(path).text();

/** What a file imports; of one with a syntax error nothing, for the bundler says in which file and line it is. */
async function importsOf(path: string): Promise<Bun.Import[]> {
  const source = await sourceOf(path);
  try {
    return transpiler.scanImports(source);
  } catch {
    return [];
  }
}

/** The files that others load only when they need them. */
async function loadedLate(): Promise<Set<string>> {
  const late = new Set<string>();
  for (const file of ["restorer.ts", ...new Glob("lib/**/*.ts").scanSync(root)]) {
    const path = join(root, file);
    for (const { kind, path: to } of await importsOf(path)) {
      if (kind === "dynamic-import" && to.startsWith(".")) late.add(join(dirname(path), to));
    }
  }
  return late;
}

/**
 * Each file of the executable costs a start some 40 µs, and the bundler makes one for all modules that are loaded by the same
 * late ones. Here every late one seems to need all that the start needs, which is there in any case: so that is one file.
 */
async function startInOneFile(): Promise<Bun.BunPlugin> {
  const late = await loadedLate();
  const ofStart = (await importsOf(main)).filter(({ kind }) => kind === "import-statement");
  const importAll = (from: string) =>
    ofStart.map(({ path }) => `import "./${relative(dirname(from), join(root, path))}";\n`).join("");
  return {
    name: "the start in one file",
    setup: (build) => {
      build.onLoad({ filter: /\.ts$/ }, async ({ path }) => {
        const contents = await sourceOf(path);
        return { contents: late.has(path) ? `${contents}\n${importAll(path)}` : contents, loader: "ts" };
      });
    },
  };
}

/** What a thread uses is a copy of its own: a file shared with the start would be one more that every start has to load. */
async function threadsApart(): Promise<Bun.BunPlugin> {
  const bundles = new Map<string, string>();
  for (const thread of threads) {
    const { outputs } = await Bun.build({ entrypoints: [thread], target: "bun", format: "esm" });
    bundles.set(thread, (await Promise.all(outputs.map((output) => output.text()))).join("\n"));
  }
  return {
    name: "threads apart",
    setup: (build) => {
      build.onLoad({ filter: /-thread\.ts$/ }, ({ path }) => {
        const contents = bundles.get(path);
        if (contents === undefined) throw new Error(`${path} is not one of the files that threads begin with`);
        return { contents, loader: "js" };
      });
    },
  };
}

/** What the engine multiplies its thresholds by: most restores are over before what it would compile early has paid. */
const jitPolicy = 10;

const [outfile, commit = "", machine, executablePath] = process.argv.slice(2);
const isKnown = machine === undefined || machine === "x64" || machine === "arm64";
if (outfile === undefined || !isKnown) {
  console.error("usage: bun build/compile.ts <output> <commit> [x64|arm64 <runtime>]");
  process.exit(3);
}
await Bun.build({
  entrypoints: [main, ...threads],
  target: "bun",
  format: "esm",
  splitting: true,
  minify: true,
  bytecode: true,
  sourcemap: "linked",
  define: { RESTORER_COMMIT: JSON.stringify(commit) },
  plugins: [await threadsApart(), await startInOneFile()],
  compile: {
    outfile,
    jitPolicy,
    // What a start uses lies together; test/build/start-order.ts records it. Of an older one most still counts.
    bytecodeOrder: join(import.meta.dir, "start.order"),
    // Files of the directory it is run in may hold anybody's code.
    autoloadDotenv: false,
    autoloadBunfig: false,
    ...(machine === undefined || executablePath === undefined
      ? {}
      : { target: `bun-linux-${machine}`, executablePath }),
  },
});
