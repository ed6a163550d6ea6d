import type { Extracted } from "../archive/extract.ts";
import type { LayerItem } from "../archive/layer-check.ts";
import type { Cache } from "../caches/cache.ts";
import { fromLatin1 } from "../latin1.ts";
import { errorAsData, toSafeJson } from "../layers/report.ts";
import { exitCodeOf } from "../session.ts";
import { count, inline } from "../text.ts";
import { type CachedLayer, readData, recordedProblems } from "./cached-layers.ts";
import { type Desk, layerName } from "./desk.ts";
import { documentHead } from "./documents.ts";
import { octalMode } from "./file-changes.ts";
import { typesOf } from "./inspect-cache.ts";
import { LayerTree } from "./layer-tree.ts";
import { readLayer } from "./read-layer.ts";

/** One layer: its metadata, and what it holds; a listing like `tar tv`, or a tree of its directories with their sizes. */
export async function inspectLayer(desk: Desk, cache: Cache, layer: CachedLayer): Promise<void> {
  if (desk.isJson) await writeAsData(desk, cache, layer);
  else await tell(desk, cache, layer);
}

async function tell(desk: Desk, cache: Cache, layer: CachedLayer): Promise<void> {
  const { metadata, version } = layer;
  desk.line(`Layer:    ${layerName(layer)}${version === undefined ? "" : ` of version ${inline(version)}`}`);
  desk.line(`Types:    ${typesOf(metadata).join(", ") || "none"}`);
  desk.line(`Digest:   ${desk.digest(metadata.sha)}`);
  for (const { text } of recordedProblems(layer)) desk.line(`Problem:  ${desk.message(text)}`);
  const { toml, problem: unread } = readData(metadata.data);
  desk.line(`Metadata:${toml !== "" ? "" : unread === undefined ? " none" : " cannot be shown"}`);
  for (const line of toml.split("\n").filter((text) => text !== "")) desk.write(`  ${inline(line)}\n`);
  desk.line();
  const tree = new LayerTree();
  const isTree = desk.options.tree;
  let entries = 0;
  const { files, bytes } = await readLayer(desk, cache, layer, {
    item: (item) => {
      entries += 1;
      if (isTree) tree.add(item);
      else desk.write(`${listing(desk, item)}\n`);
    },
  });
  if (isTree) tellTree(desk, tree);
  desk.line(
    `\n${count(entries, "entry", "entries")}, ${count(files, "file")}, ${desk.sizeInWords(bytes)} unpacked; verified`,
  );
}

/** Types of entries as `tar tv` and `ls -l` show them; a hard link is what it links to. */
const typeLetters: Readonly<Record<LayerItem["type"], string>> = { directory: "d", file: "-", symlink: "l", link: "h" };

function listing(desk: Desk, item: LayerItem): string {
  const mode = "mode" in item ? modeText(item.mode) : "rwxrwxrwx";
  const size = item.type === "file" ? (desk.options.bytes ? String(item.size) : desk.count(item.size)) : "0";
  const path = inline(fromLatin1(item.path));
  const name = item.type === "directory" ? `${path === "" ? "." : path}/` : path;
  const target = "target" in item ? inline(fromLatin1(item.target)) : "";
  const further = item.type === "symlink" ? ` -> ${target}` : item.type === "link" ? ` link to ${target}` : "";
  return `${typeLetters[item.type]}${mode} ${size.padStart(13)} ${name}${further}`;
}

/** `rwxr-xr-x`, with setuid, setgid and the sticky bit as `ls` shows them. */
function modeText(mode: number): string {
  const special = [0o4000, 0o2000, 0o1000];
  return [6, 3, 0]
    .map((shift, at) => {
      const bits = (mode >> shift) & 7;
      const isSpecial = (mode & (special[at] ?? 0)) !== 0;
      const letter = at === 2 ? "t" : "s";
      const runs = (bits & 1) !== 0;
      const last = isSpecial ? (runs ? letter : letter.toUpperCase()) : runs ? "x" : "-";
      return `${(bits & 4) !== 0 ? "r" : "-"}${(bits & 2) !== 0 ? "w" : "-"}${last}`;
    })
    .join("");
}

function tellTree(desk: Desk, tree: LayerTree): void {
  const columns = [
    { title: "SIZE", align: "right" },
    { title: "FILES", align: "right" },
    { title: "DIRECTORY" },
  ] as const;
  const rows = tree.directories(desk.options.depth);
  desk.table(
    columns,
    rows.map(({ path, bytes, files }) => [desk.size(bytes), desk.count(files), `${inline(fromLatin1(path)) || "."}/`]),
  );
}

/** The entries may be many: they are written as they come. */
async function writeAsData(desk: Desk, cache: Cache, layer: CachedLayer): Promise<void> {
  desk.write(headOf(cache, layer).replace(/\n}$/, ""));
  const tree = new LayerTree();
  const isTree = desk.options.tree;
  if (!isTree) desk.write(`,\n  "entries": [`);
  let separator = "\n    ";
  let extracted: Extracted;
  let entries = 0;
  try {
    extracted = await readLayer(desk, cache, layer, {
      item: (item) => {
        entries += 1;
        if (isTree) {
          tree.add(item);
          return;
        }
        desk.write(`${separator}${toSafeJson(itemAsData(item), 0)}`);
        separator = ",\n    ";
      },
    });
  } catch (error) {
    // What was written already is not worth much, but it is JSON.
    desk.write(
      `${isTree ? "" : "\n  ]"},\n  "exitCode": ${exitCodeOf(error)},\n  "error": ${toSafeJson(errorAsData(error), 0)}\n}\n`,
    );
    throw error;
  }
  const rows = tree.directories(desk.options.depth).map((row) => ({ ...row, path: fromLatin1(row.path) }));
  desk.write(isTree ? `,\n  "directories": ${toSafeJson(rows, 0)}` : "\n  ]");
  const { files, bytes } = extracted;
  desk.write(`,\n  "contents": ${toSafeJson({ entries, files, bytes, verified: true }, 0)}\n}\n`);
}

/** What comes before the entries, as a whole document. */
function headOf(cache: Cache, layer: CachedLayer): string {
  const { buildpack, version, layer: name, metadata } = layer;
  const { build, launch, cache: isCached, sha } = metadata;
  return documentHead("inspect-layer", {
    cache: cache.facts(),
    layer: {
      buildpack,
      version: version ?? null,
      name,
      build,
      launch,
      cache: isCached,
      sha: sha ?? null,
      metadata: readData(metadata.data).value ?? null,
      problems: recordedProblems(layer),
    },
  });
}

function itemAsData(item: LayerItem): Record<string, unknown> {
  const path = fromLatin1(item.path);
  if ("target" in item) return { type: item.type, path, target: fromLatin1(item.target) };
  return { type: item.type, path, mode: octalMode(item.mode), ...(item.type === "file" ? { size: item.size } : {}) };
}
