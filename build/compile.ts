/**
 * `bun build/compile.ts <output> <commit> [x64|arm64 <runtime>]`: the executable, with the runtime of this machine, or that
 * of a file for another one.
 */

import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join, relative } from "node:path";
import { Glob } from "bun";

const root = dirname(import.meta.dir);

/** Where threads begin: their code is loaded by its path. */
const threads = ["blob", "layer", "small"].map((name) => `lib/archive/${name}-thread.ts`);
const main = join(root, "restorer.ts");

const transpiler = new Bun.Transpiler({ loader: "ts" });
const sourceOf = (path: string) => Bun.file(path).text();

/** The files that others load only when they need them. */
async function loadedLate(): Promise<Set<string>> {
  const late = new Set<string>();
  for (const file of ["restorer.ts", ...new Glob("lib/**/*.ts").scanSync(root)]) {
    const path = join(root, file);
    for (const { kind, path: to } of transpiler.scanImports(await sourceOf(path))) {
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
  const ofStart = transpiler.scanImports(await sourceOf(main)).filter(({ kind }) => kind === "import-statement");
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

/** What the engine multiplies its thresholds by: most restores are over before what it would compile early has paid. */
const jitPolicy = 10;

type Runtime = Pick<Bun.CompileBuildOptions, "target" | "executablePath">;

/** Writes an executable; `order` is a file that says which functions a start uses, which then lie together. */
async function compile(outfile: string, commit: string, order: string | false, runtime: Runtime): Promise<void> {
  await Bun.build({
    entrypoints: [main, ...threads.map((thread) => join(root, thread))],
    target: "bun",
    format: "esm",
    splitting: true,
    minify: true,
    bytecode: true,
    sourcemap: "linked",
    define: { RESTORER_COMMIT: JSON.stringify(commit) },
    plugins: [await startInOneFile()],
    compile: {
      outfile,
      bytecodeOrder: order,
      jitPolicy,
      // Files of the directory it is run in may hold anybody's code.
      autoloadDotenv: false,
      autoloadBunfig: false,
      ...runtime,
    },
  });
}

/** What a small build begins with: one buildpack, and one layer of it that an earlier build has exported. */
const scene = {
  "group.toml": `
    [[group]]
    id = "some/buildpack"
    version = "1"
    api = "0.10"`,
  "analyzed.toml": `
    [[metadata.buildpacks]]
    key = "some/buildpack"
    [metadata.buildpacks.layers.some]
    sha = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    launch = true
    data = { version = "1.0.0" }`,
};

/** Has an executable of this machine restore it, and write into a file of the directory which functions that takes. */
function recordStart(executable: string, directory: string): string {
  for (const [name, content] of Object.entries(scene)) writeFileSync(join(directory, name), content);
  const order = join(directory, "order");
  const { exitCode, stderr } = Bun.spawnSync([executable, "-layers", directory], {
    env: { CNB_PLATFORM_API: "0.14", BUN_BYTECODE_ORDER_OUT: order },
    stderr: "pipe",
  });
  if (exitCode !== 0) throw new Error(`the first build does not run: ${stderr}`);
  return order;
}

const [outfile, commit = "", machine, executablePath] = process.argv.slice(2);
const isKnown = machine === undefined || machine === "x64" || machine === "arm64";
if (outfile === undefined || !isKnown) {
  console.error("usage: bun build/compile.ts <output> <commit> [x64|arm64 <runtime>]");
  process.exit(3);
}
const directory = mkdtempSync(join(tmpdir(), "restorer-build-"));
try {
  const first = join(directory, "restorer");
  await compile(first, commit, false, {});
  const runtime: Runtime =
    machine === undefined || executablePath === undefined ? {} : { target: `bun-linux-${machine}`, executablePath };
  await compile(outfile, commit, recordStart(first, directory), runtime);
} finally {
  rmSync(directory, { recursive: true });
}
