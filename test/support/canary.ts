import { lstatSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { file, link, type Tree } from "./harness.ts";

/** What stands outside of the layers directory, to be found as it was. */
export const canaryTree: Tree = {
  file: "precious",
  dir: { inside: "precious too" },
  link: link("file"),
  closed: file("secret", 0o600),
};

/** Everything about a tree that a write, a chmod, a chown or a new hard link would change; one line an entry. */
export function stamps(root: string): string[] {
  const stat = lstatSync(root, { bigint: true });
  const { ino, mode, uid, gid, size, nlink, mtimeNs, ctimeNs } = stat;
  const own = `${root} ${ino} ${mode} ${uid} ${gid} ${size} ${nlink} ${mtimeNs} ${ctimeNs}`;
  return [own, ...(stat.isDirectory() ? readdirSync(root).flatMap((name) => stamps(join(root, name))) : [])];
}
