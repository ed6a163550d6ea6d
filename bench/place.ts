import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { removeTree } from "../test/support/harness.ts";
import { room } from "./machine.ts";

/** Where caches are made and kept. */
export const cacheDir = resolve(process.env.BENCH_DIR ?? join(tmpdir(), "restorer-bench"));
/** What is written while measuring; removed at the end. */
export const workDir = resolve(process.env.BENCH_LAYERS ?? join(memoryDir(2e9), "restorer-bench"));
export const layersDir = join(workDir, "layers");
/** Where `tar x` extracts to. */
export const tarDir = join(workDir, "tar");

/** A memory file system with room to spare, so that no disk is measured; else the temporary directory. */
function memoryDir(bytes: number): string {
  return existsSync("/dev/shm") && room("/dev/shm") > 2 * bytes ? "/dev/shm" : tmpdir();
}

/** Two benchmarks at once would share directories and spoil each other's figures. */
export function claimWorkDir(): Disposable {
  mkdirSync(workDir, { recursive: true });
  const owner = join(workDir, "pid");
  if (existsSync(owner) && existsSync(`/proc/${readFileSync(owner, "utf8")}`)) {
    throw new Error(`another benchmark uses ${workDir}`);
  }
  writeFileSync(owner, String(process.pid));
  return { [Symbol.dispose]: () => removeTree(workDir) };
}

/** What a run starts from: nothing but its inputs, and nothing left to write back. */
export async function resetWorkDir(inputs: { readonly groupToml: string; readonly analyzedToml: string }) {
  for (const path of [layersDir, tarDir]) {
    removeTree(path);
    mkdirSync(path, { recursive: true });
  }
  writeFileSync(join(layersDir, "group.toml"), inputs.groupToml);
  writeFileSync(join(layersDir, "analyzed.toml"), inputs.analyzedToml);
  Bun.spawnSync(["sync", "-f", workDir], { stderr: "ignore" });
  await Bun.sleep(100);
}

const dropCaches = "/proc/sys/vm/drop_caches";

/** Whether this process may empty the page cache of the machine: root of the machine itself, not of a container. */
export function mayDropPageCache(): boolean {
  try {
    dropPageCache();
    return true;
  } catch {
    return false;
  }
}

/** Makes the next start of any program read it from the disk. */
export function dropPageCache(): void {
  Bun.spawnSync(["sync"]);
  writeFileSync(dropCaches, "3");
}
