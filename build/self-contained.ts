/**
 * `bun build/self-contained.ts <executable> <output> [<directory>]`: the self-contained file, with the glibc of a directory,
 * or else of this machine. Where this machine has none that fits, or what was made does not run, the output is the executable
 * itself, and a sentence says why.
 */
import { copyFileSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { Elf } from "./elf.ts";
import { pack } from "./pack.ts";

/** The libraries that run this very program, where they are glibc's. */
function machineFiles(): string[] {
  return readFileSync("/proc/self/maps", "utf8").match(/\/\S+$/gm) ?? [];
}

function libraries(files: readonly string[], where: string): { loader: Buffer; libc: Buffer; libm: Buffer } {
  const read = (what: string, name: RegExp): Buffer => {
    const path = files.find((one) => name.test(one));
    if (path === undefined) throw new Error(`${where} has no glibc: ${what} is missing`);
    return readFileSync(path);
  };
  return {
    loader: read("the loader", /\/ld-(linux-[^/]*\.so\.\d|2\.\d+\.so)$/),
    libc: read("libc.so.6", /\/libc(\.so\.6|-2\.\d+\.so)$/),
    libm: read("libm.so.6", /\/libm(\.so\.6|-2\.\d+\.so)$/),
  };
}

function selfContained(executable: string, directory: string | undefined): { bytes: Buffer; isOfThisMachine: boolean } {
  const bytes = readFileSync(executable);
  const { machine } = new Elf(bytes, "the executable");
  if (machine !== "x64" && machine !== "arm64") throw new Error(`there is no stub for the machine of ${executable}`);
  const stub = readFileSync(join(import.meta.dir, `stub-${machine}.bin`));
  const [files, where] =
    directory === undefined
      ? [machineFiles(), "this machine"]
      : [readdirSync(directory).map((name) => join(directory, name)), directory];
  const isOfThisMachine = machine === process.arch;
  return { bytes: pack({ executable: bytes, stub, ...libraries(files, where) }), isOfThisMachine };
}

/** Throws where a glibc that the packer takes for one it knows is not. */
function tryOut(path: string): void {
  const { exitCode, signalCode, stderr } = Bun.spawnSync([path, "-version"], { stderr: "pipe" });
  if (exitCode !== 0) throw new Error(`with that glibc it ends with ${signalCode ?? exitCode}: ${stderr}`);
}

function write(output: string, make: (temporary: string) => void): void {
  // A file that is being run cannot be written to: another one takes its place.
  const temporary = `${output}.new`;
  rmSync(temporary, { force: true });
  try {
    make(temporary);
    renameSync(temporary, output);
  } finally {
    rmSync(temporary, { force: true });
  }
}

const [executable, output, directory] = process.argv.slice(2);
if (executable === undefined || output === undefined) {
  console.error("usage: bun build/self-contained.ts <executable> <output> [<directory with glibc>]");
  process.exit(3);
}
try {
  const { bytes, isOfThisMachine } = selfContained(executable, directory);
  write(output, (temporary) => {
    writeFileSync(temporary, bytes, { mode: 0o755 });
    if (isOfThisMachine) tryOut(temporary);
  });
} catch (error) {
  const why = error instanceof Error ? error.message : String(error);
  if (directory !== undefined) {
    console.error(`Cannot make ${output}: ${why}`);
    process.exit(1);
  }
  console.log(`${output} is not self-contained, and needs glibc where it runs: ${why}`);
  write(output, (temporary) => copyFileSync(executable, temporary));
}
