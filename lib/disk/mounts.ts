import { readFileSync, statfsSync } from "node:fs";
import { basename, dirname, join, relative } from "node:path";
import { hasCode } from "../errors.ts";

/**
 * The mount that an open handle lies on, as the kernel numbers them: a bind mount of the same disk is another one, which
 * `st_dev` does not tell. Empty where /proc does not say; then all are taken for one. Throws the system's error where it
 * cannot be read: a guess would take one mount for two.
 */
export function mountIdOf(fd: number): string {
  try {
    return /^mnt_id:\s*(\d+)/m.exec(readFileSync(`/proc/self/fdinfo/${fd}`, "latin1"))?.[1] ?? "";
  } catch (error) {
    if (hasCode(error, "ENOENT", "ENOTDIR")) return "";
    throw error;
  }
}

/**
 * Where something is mounted at a path or below it; undefined where nothing is. Links in the path are resolved; `mountId` is
 * of its directory.
 */
export function mountBelow(path: string, mountId: string): string | undefined {
  const below = path.endsWith("/") ? path : `${path}/`;
  return coveredFrom(path, mountId).find(({ at }) => at === path || at.startsWith(below))?.point;
}

/** The names of what is mounted right in a directory, whose path has no links. */
export function mountsIn(path: string, mountId: string): string[] {
  return coveredFrom(path, mountId).flatMap(({ at }) => (dirname(at) === path ? [basename(at)] : []));
}

/** A place that a mount covers. */
interface Covered {
  /** The mount point. */
  readonly point: string;
  /** The same place, as it is reached otherwise. */
  readonly at: string;
}

/**
 * All mount points; and, as they are reached from a path, those on its file system that another mount of it leads to: what
 * covers a directory there does not cover it here, but moves with it.
 */
function coveredFrom(path: string, mountId: string): Covered[] {
  const all = mounts();
  const byId = new Map(all.map((mount) => [mount.id, mount]));
  const own = byId.get(mountId);
  const here = own && placeOn(own, path);
  return all.flatMap(({ point, parent }) => {
    const around = byId.get(parent);
    const isAlias = here !== undefined && around !== undefined && around !== own && around.device === here.device;
    const aliases = isAlias ? [{ point, at: join(path, relative(here.path, placeOn(around, point).path)) }] : [];
    return [{ point, at: point }, ...aliases];
  });
}

/** Where something lies on its file system, however that is mounted. */
export interface PlaceOnDevice {
  readonly device: string;
  readonly path: string;
}

/** Where a path lies that is reached by a mount. */
export function placeOn({ device, root, point }: Mount, path: string): PlaceOnDevice {
  return { device, path: join(root, relative(point, path)) };
}

/** Where the file system of a mount begins, and where it is mounted. */
export interface Mount {
  readonly id: string;
  /** The mount that its point lies on. */
  readonly parent: string;
  /** `major:minor` of the file system. */
  readonly device: string;
  /** The directory of the file system that is mounted. */
  readonly root: string;
  readonly point: string;
}

/** All mounts, read anew each time: one may come at any moment. Throws the system's error where they cannot be read. */
export function mounts(): Mount[] {
  let text: string;
  try {
    text = readFileSync("/proc/self/mountinfo", "utf8");
  } catch (error) {
    // Without /proc a removal asks about each directory all the same.
    if (hasCode(error, "ENOENT", "ENOTDIR")) return [];
    throw error;
  }
  return text.split("\n").map((line) => {
    const [id = "", parent = "", device = "", root = "", point = ""] = line.split(" ");
    return { id, parent, device, root: withoutEscapes(root), point: withoutEscapes(point) };
  });
}

/** A path of mountinfo, where blanks and backslashes are written in octal (proc(5)). */
function withoutEscapes(path: string): string {
  return path.replace(/\\([0-7]{3})/g, (_, octal) => String.fromCharCode(Number.parseInt(octal, 8)));
}

/** Types (statfs) of file systems that send what is written to somebody else later: NFS, CIFS, SMB2, FUSE, 9p, Ceph. */
const remoteTypes = new Set([0x6969, 0xff534d42, 0xfe534d42, 0x65735546, 0x01021997, 0x00c36400]);

/** Whether the file system of a path may report only after a write, when synced, that it could not write. */
export function writesBehind(path: string): boolean {
  return remoteTypes.has(statfsSync(path).type >>> 0);
}
