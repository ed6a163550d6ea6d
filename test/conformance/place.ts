import {
  chmodSync,
  chownSync,
  copyFileSync,
  existsSync,
  lchownSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { isRoot, removeTree, tempDir } from "../support/harness.ts";
import { type Before, type Case, type Definition, parseDefinition } from "./case.ts";
import { startRegistry } from "./registry.ts";
import { walk } from "./tree.ts";
import { substitute, substituteText } from "./value.ts";

/** An unprivileged user, for runs that must not be root's. */
export const nobody = 65534;

/** The directories that a case is about; everything else must stay as it is. */
export const directories = ["layers", "cache", "kaniko", "work"] as const;

/** A case whose directories and registry are there. */
export interface Scene extends AsyncDisposable {
  readonly definition: Definition;
  /** Holds nothing but `root`. */
  readonly top: string;
  /** Holds the directories of the case. */
  readonly root: string;
  /** Whom to run as, when not as the one who runs the tests. */
  readonly user: number | undefined;
  /** A path below `root`. */
  path(...parts: string[]): string;
}

/** Makes the directories of a case and starts its registry. In a sandbox the directories are right below `/`. */
export async function place(theCase: Case, inSandbox: boolean): Promise<Scene> {
  const top = tempDir("conformance", { root: {} });
  const path = (...parts: string[]) => top.join("root", ...parts);
  const registry = await startRegistry(theCase);
  const names = new Map([
    ["registry", registry?.host ?? "127.0.0.1:1"],
    ...directories.map((name): [string, string] => [name, inSandbox ? `/${name}` : path(name)]),
  ]);
  const definition = parseDefinition(substitute(theCase.source, names));
  const user = isRoot && definition.needs.includes("nonroot") ? nobody : undefined;
  for (const name of directories) copyDirectory(join(theCase.folder, name), path(name));
  makeDirectory(path("work", "home"));
  for (const name of ["layers", "work"]) substituteInFiles(path(name), names);
  arrange(definition.before, path, user);
  return {
    definition,
    top: top.path,
    root: path(),
    user,
    path,
    async [Symbol.asyncDispose]() {
      await registry?.[Symbol.asyncDispose]();
      top[Symbol.dispose]();
    },
  };
}

/** Copies a directory, or makes an empty one: of modes a checkout keeps only the x bit, so they are all the same. */
function copyDirectory(from: string, to: string): void {
  makeDirectory(to);
  if (!existsSync(from)) return;
  for (const entry of readdirSync(from, { withFileTypes: true })) {
    const [source, target] = [join(from, entry.name), join(to, entry.name)];
    if (entry.isDirectory()) {
      copyDirectory(source, target);
    } else {
      copyFileSync(source, target);
      chmodSync(target, 0o644);
    }
  }
}

function makeDirectory(path: string): void {
  mkdirSync(path, { recursive: true });
  chmodSync(path, 0o755);
}

function substituteInFiles(root: string, names: ReadonlyMap<string, string>): void {
  for (const [path, { location, type }] of walk(root)) {
    if (type !== "file" || !/\.(?:toml|json)$/.test(path)) continue;
    const bytes = readFileSync(location);
    // What is no UTF-8 text comes back as other bytes.
    const text = bytes.toString();
    const replaced = substituteText(text, names);
    if (replaced !== text && Buffer.from(text).equals(bytes)) writeFileSync(location, replaced);
  }
}

/** Does what git cannot keep: empty directories, links, owners and modes. */
function arrange(before: Before, path: (...parts: string[]) => string, user: number | undefined): void {
  for (const name of before.remove) removeTree(path(name));
  for (const name of before.mkdir) makeDirectory(path(name));
  for (const [name, target] of Object.entries(before.symlink)) symlinkSync(target, path(name));
  if (user !== undefined) {
    lchownSync(path(), user, user);
    for (const { location } of walk(path()).values()) lchownSync(location, user, user);
  }
  for (const [name, owner] of Object.entries(before.chown)) {
    const [uid, gid] = owner.split(":").map(Number);
    if (isRoot) chownSync(path(name), uid ?? 0, gid ?? 0);
  }
  for (const [name, mode] of Object.entries(before.chmod)) chmodSync(path(name), Number.parseInt(mode, 8));
}
