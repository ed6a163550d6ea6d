/** Root directories that hold the executable and little else, by bwrap. */
import { closeSync, openSync, readFileSync, readSync } from "node:fs";
import { have, isRoot, restorerPath, skipUnless, type TempDir, writeTree } from "./harness.ts";

export interface BareRoot {
  /** Only the layers directory can be written to. */
  readonly isReadOnly?: boolean;
  /** Further options of bwrap. */
  readonly options?: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  /** Default: the one that is tested everywhere. */
  readonly executable?: string;
  /** A static emulator that runs the executable of another machine. */
  readonly emulator?: string;
}

/**
 * The command line of the executable, but its arguments, in a root that is the given directory. There `/restorer`, `/proc`
 * and `/dev` are added. bwrap itself sees to `no_new_privs`.
 */
export function inRoot(root: TempDir, of: BareRoot = {}): string[] {
  const { isReadOnly = false, options = [], env = {}, executable = restorerPath(), emulator } = of;
  writeTree(root.path, { restorer: "", proc: {}, dev: {}, ...(emulator && { emulator: "" }) });
  const variables = Object.entries({ CNB_PLATFORM_API: "0.15", HOME: "/home", ...env });
  return [
    ...["bwrap", isReadOnly ? "--ro-bind" : "--bind", root.path, "/", "--proc", "/proc", "--dev", "/dev"],
    ...(isReadOnly ? ["--bind", root.join("layers"), "/layers"] : []),
    ...["--ro-bind", executable, "/restorer", "--cap-add", "ALL", "--chdir", "/", "--die-with-parent", "--clearenv"],
    ...variables.flatMap(([name, value]) => ["--setenv", name, value]),
    ...(emulator === undefined ? [] : ["--ro-bind", emulator, "/emulator"]),
    ...[...options, ...(emulator === undefined ? [] : ["/emulator"]), "/restorer"],
  ];
}

/** Whether an executable has no interpreter: the kernel starts it without one. */
function isSelfContained(path: string): boolean {
  const fd = openSync(path, "r");
  try {
    const header = Buffer.alloc(64);
    readSync(fd, header, 0, 64, 0);
    const count = header.readUInt16LE(56);
    const table = Buffer.alloc(56 * count);
    readSync(fd, table, 0, table.length, Number(header.readBigUInt64LE(32)));
    return !Array.from({ length: count }, (_, index) => table.readUInt32LE(56 * index)).includes(3);
  } finally {
    closeSync(fd);
  }
}

export const runsAnywhere = isSelfContained(restorerPath());
export const builtWithGlibc = "an executable built where glibc 2.34 or newer is";
const canBareRoot = isRoot && have("bwrap");

/** A test in roots made by bwrap, which may need more. */
export function rootTest(condition = true, missing = ""): ReturnType<typeof skipUnless> {
  const all = [builtWithGlibc, "root", "bwrap", missing].filter(Boolean).join(", ");
  return skipUnless(runsAnywhere && canBareRoot && condition, all);
}

/** The process at the end of a chain of processes that each have one child. */
export function lastDescendant(pid: number): number {
  const child = readFileSync(`/proc/${pid}/task/${pid}/children`, "utf8").trim().split(" ")[0];
  return child ? lastDescendant(Number(child)) : pid;
}
