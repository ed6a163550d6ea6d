import { existsSync } from "node:fs";
import { have, isRoot } from "./skip.ts";
import { tempDir } from "./tree.ts";

/** Whether a file system of a process (FUSE) can be mounted here. */
export const canBindfs = isRoot && have("bindfs") && existsSync("/dev/fuse") && mayMount();

function mayMount(): boolean {
  using dir = tempDir("fuse");
  try {
    using _ = bindfs(dir.path);
    return true;
  } catch {
    return false;
  }
}

/** Mounts a directory over itself, by a file system that refuses or ignores what the options say, until the block ends. */
export function bindfs(path: string, ...options: readonly string[]): Disposable {
  const { exitCode, stderr } = Bun.spawnSync(["bindfs", ...options, path, path]);
  if (exitCode !== 0) throw new Error(`bindfs ${options.join(" ")} ${path}: ${stderr}`);
  return { [Symbol.dispose]: () => void Bun.spawnSync(["umount", path]) };
}

/** Whether system calls can be made to fail. */
export const canInject = have("strace") && Bun.spawnSync(["strace", "-o", "/dev/null", "true"]).exitCode === 0;

/** System calls by what they do: each has several names. */
const systemCalls = {
  chmod: ["chmod", "fchmod", "fchmodat"],
  chown: ["chown", "fchown", "lchown", "fchownat"],
  link: ["link", "linkat"],
  rename: ["rename", "renameat", "renameat2"],
  symlink: ["symlink", "symlinkat"],
  sync: ["fsync", "fdatasync"],
} as const;
export type Calls = keyof typeof systemCalls;

/** Runs an executable with calls that answer otherwise: `error=EPERM`, or `signal=KILL:when=3`. */
export function withInjected(
  injections: readonly (readonly [calls: Calls, what: string])[],
  executable: string,
): string[] {
  const options = injections.map(([calls, what]) => ["-e", `inject=${systemCalls[calls].join(",")}:${what}`]);
  const traced = injections.flatMap(([calls]) => systemCalls[calls]).join(",");
  return ["strace", "-f", "-qq", "-o", "/dev/null", "-e", `trace=${traced}`, ...options.flat(), executable];
}
