/**
 * `bun build/self-contained.ts <executable> <output>`: the self-contained file, with the glibc of this machine. Where that
 * cannot be, the output is the executable itself, and a sentence says why.
 */
import { copyFileSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { pack } from "./pack.ts";

/** The libraries of this machine, where glibc's: those that run this very program. */
function machineLibraries(): { loader: string; libc: string; libm: string } {
  const mapped = new Set(readFileSync("/proc/self/maps", "utf8").match(/\/\S+$/gm) ?? []);
  const find = (name: RegExp): string => {
    const path = [...mapped].find((one) => name.test(one));
    if (path === undefined) throw new Error("this machine does not run on glibc");
    return path;
  };
  return { loader: find(/\/ld-[^/]*\.so[^/]*$/), libc: find(/\/libc[.-][^/]*$/), libm: find(/\/libm[.-][^/]*$/) };
}

function write(output: string, make: (temporary: string) => void): void {
  // A file that is being run cannot be written to: another one takes its place.
  const temporary = `${output}.new`;
  rmSync(temporary, { force: true });
  make(temporary);
  renameSync(temporary, output);
}

const [executable, output] = process.argv.slice(2);
if (executable === undefined || output === undefined) {
  console.error("usage: bun build/self-contained.ts <executable> <output>");
  process.exit(3);
}
try {
  const { loader, libc, libm } = machineLibraries();
  const stub = readFileSync(join(import.meta.dir, "stub-x64.bin"));
  const [program, ...libraries] = [executable, loader, libc, libm].map((path) => readFileSync(path));
  const [loaderBytes, libcBytes, libmBytes] = libraries;
  if (!program || !loaderBytes || !libcBytes || !libmBytes) throw new Error("a part is missing");
  const bytes = pack({ executable: program, loader: loaderBytes, libc: libcBytes, libm: libmBytes, stub });
  write(output, (temporary) => writeFileSync(temporary, bytes, { mode: 0o755 }));
} catch (error) {
  const why = error instanceof Error ? error.message : String(error);
  console.log(`${output} is not self-contained, and needs glibc where it runs: ${why}`);
  write(output, (temporary) => copyFileSync(executable, temporary));
}
