import { isRoot, skipUnless, tempDir } from "../support/harness.ts";

/** A test that mounts; a skip where that is not allowed, which takes more than being root. */
export const withMounts = skipUnless(isRoot && mayMount(), "root who may mount");

function mayMount(): boolean {
  using dir = tempDir("mount");
  if (Bun.spawnSync(["mount", "-t", "tmpfs", "tmpfs", dir.path]).exitCode !== 0) return false;
  Bun.spawnSync(["umount", dir.path]);
  return true;
}

/** A mount that ends with the block. */
export function mount(path: string, ...args: readonly string[]): Disposable {
  const { exitCode, stderr } = Bun.spawnSync(["mount", ...args, path]);
  if (exitCode !== 0) throw new Error(`mount ${args.join(" ")} ${path}: ${stderr}`);
  return { [Symbol.dispose]: () => void Bun.spawnSync(["umount", path]) };
}
