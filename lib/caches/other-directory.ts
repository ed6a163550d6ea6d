import { readdirSync, readlinkSync, statSync } from "node:fs";
import { basename, dirname, join, relative } from "node:path";
import { isLayoutReference } from "../oci/reference.ts";
import { count, quote } from "../text.ts";

/** The file of a volume cache that says what is in it, beside its layers (contract §4). */
export const metadataFile = "io.buildpacks.lifecycle.cache.metadata";

/** What a cache directory may hold before the first build is exported to it (D23). */
const freshNames: ReadonlySet<string> = new Set(["lost+found", "committed", "committed-backup", "staging"]);

const blobName = /^sha256:[0-9a-f]{64}\.tar$/;

/** How many names of entries a message shows. */
const shownNames = 3;

/**
 * What a directory without cache metadata holds instead of a cache, and what was probably meant; undefined where it is one
 * that no build has been exported to yet. What may not be looked into counts as empty.
 */
export function describeOtherDirectory(dir: string): string | undefined {
  const names = namesIn(dir);
  if (names.includes(metadataFile) || names.some((name) => blobName.test(name))) return describeInside(dir, names);
  const link = danglingLink(join(dir, "committed"));
  if (link !== undefined) return `its "committed" is a link to ${quote(link)}, where nothing is`;
  const committed = namesIn(join(dir, "committed"));
  if (committed.length > 0) return `its "committed" holds ${list(committed)}, but no ${metadataFile}`;
  const others = names.filter((name) => !freshNames.has(name));
  if (others.length === 0) return undefined;
  return `it holds ${list(others)}, but no "committed"${suggestion(dir, names)}`;
}

/** Of a directory of a cache that was taken for the cache itself. */
function describeInside(dir: string, names: readonly string[]): string {
  const blobs = count(names.filter((name) => blobName.test(name)).length, "layer");
  const what = names.includes(metadataFile) ? `metadata and ${blobs}` : blobs;
  const isCommitted = ["committed", "committed-backup"].includes(basename(dir));
  const meant = isCommitted ? `did you mean ${quote(dirname(dir))}?` : `a cache has them in a directory "committed"`;
  return `it holds ${what} itself, and no "committed"; ${meant}`;
}

/** What an OCI layout should be, and is not; undefined where nothing is there yet. */
export function describeOtherLayout(dir: string): string | undefined {
  const names = namesIn(dir);
  if (names.length === 0) return undefined;
  const isCache = exists(join(dir, "committed", metadataFile));
  const meant = isCache ? `; it is a cache directory: give it as -cache-dir ${dir}` : "";
  return `it holds ${list(names)}, but no index.json${meant}`;
}

/** What is perhaps meant by a cache directory that is not there. */
export function describeAbsent(dir: string): string {
  const link = danglingLink(dir);
  if (link !== undefined) return `; it is a link to ${quote(link)}, where nothing is`;
  const given = relative(process.cwd(), dir);
  const isImage = isLayoutReference(given) || (/^[\w-]+(\.[\w-]+)+(:\d+)?\/./.test(given) && !exists(dirname(dir)));
  return isImage ? `; if it is an image, give it as -cache-image ${given}` : "";
}

/** What is meant by a file that was named as a cache directory, where it is one of a cache. */
export function describeFile(path: string): string {
  const [name, committed] = [basename(path), dirname(path)];
  const isOfCache = (name === metadataFile || blobName.test(name)) && basename(committed) === "committed";
  return isOfCache ? `; did you mean ${quote(dirname(committed))}?` : "";
}

/** Where a link leads that leads to nothing; undefined for everything else. */
function danglingLink(path: string): string | undefined {
  try {
    return exists(path) ? undefined : readlinkSync(path);
  } catch {
    return undefined;
  }
}

function suggestion(dir: string, names: readonly string[]): string {
  const isCache = (name: string) => exists(join(dir, name, "committed", metadataFile));
  const caches = names.filter(isCache).map((name) => quote(join(dir, name)));
  if (caches.length > 0) return `; did you mean ${caches.slice(0, shownNames).join(" or ")}?`;
  if (exists(join(dirname(dir), "committed", metadataFile)) && basename(dir) !== "committed") {
    return `; did you mean ${quote(dirname(dir))}?`;
  }
  if (names.includes("oci-layout"))
    return `; it is an OCI image layout: name it oci:${dir}, for a restore with -cache-image`;
  if (names.includes("group.toml") || names.includes("analyzed.toml")) return "; it looks like a layers directory";
  return "";
}

function list(names: readonly string[]): string {
  const shown = names.toSorted().slice(0, shownNames).map(quote);
  const rest = names.length - shown.length;
  return rest > 0 ? `${shown.join(", ")} and ${count(rest, "other entry", "other entries")}` : shown.join(", ");
}

/** The names in a directory; none where it is not there, or may not be looked into: opening the cache tells which. */
export function namesIn(dir: string): string[] {
  try {
    return readdirSync(dir);
  } catch {
    return [];
  }
}

function exists(path: string): boolean {
  try {
    return statSync(path, { throwIfNoEntry: false }) !== undefined;
  } catch {
    return false;
  }
}
