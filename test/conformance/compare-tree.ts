import type { Entry } from "./case.ts";
import { parseToml } from "./toml.ts";
import { bytesOf, type Found, type Recording, sha256Of, walk } from "./tree.ts";
import { contains, parseJson, show, type Value, withoutEmptyMetadata } from "./value.ts";

/** How the entries below a directory differ from the ones wanted, no more and no less; modes of some paths may not matter. */
export function treeDifferences(
  label: string,
  wanted: readonly Entry[],
  root: string,
  anyMode: (path: string) => boolean = () => false,
): string[] {
  const entries = walk(root);
  const known = new Set(wanted.map(({ path }) => path));
  const unexpected = [...entries].filter(([path]) => !known.has(path));
  const lines = [
    ...wanted.flatMap((entry) => {
      const found = entries.get(entry.path);
      if (found === undefined) return entry.optional ? [] : [`${entry.path} is missing, should be a ${entry.type}`];
      const linked = entry.sameFileAs === undefined ? undefined : entries.get(entry.sameFileAs);
      const differences = entryDifferences(anyMode(entry.path) ? { ...entry, mode: null } : entry, found, linked);
      return differences.map((difference) => `${entry.path} ${difference}`);
    }),
    ...unexpected.map(([path, { type }]) => `${path} is an unexpected ${type}`),
  ];
  return lines.map((line) => `${label}: ${line}`);
}

function entryDifferences(wanted: Entry, found: Found, linked: Found | undefined): string[] {
  if (found.type !== wanted.type) return [`is a ${found.type}, should be a ${wanted.type}`];
  const lines: string[] = [];
  const differ = (what: string, is: string | undefined, should: string) => {
    if (is !== should) lines.push(`${what} is ${is ?? "nothing"}, should be ${should}`);
  };
  for (const key of ["mode", "owner", "target"] as const) {
    const should = wanted[key];
    if (typeof should === "string") differ(key, found[key], should);
  }
  if (typeof wanted.sha256 === "string") differ("sha256", sha256Of(found), wanted.sha256);
  if (wanted.toml !== undefined) differ("toml", tomlText(found), show(withoutEmptyMetadata(wanted.toml)));
  if (wanted.json !== undefined) lines.push(...jsonDifferences(wanted.json, found));
  if (wanted.sameFileAs !== undefined && (found.inode !== linked?.inode || found.device !== linked.device)) {
    lines.push(`is not the same file as ${wanted.sameFileAs}`);
  }
  return lines;
}

function tomlText(found: Found): string {
  try {
    return show(withoutEmptyMetadata(parseToml(bytesOf(found))));
  } catch (error) {
    return `no TOML (${error})`;
  }
}

function jsonDifferences(wanted: Value, found: Found): string[] {
  try {
    const text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytesOf(found));
    const value = parseJson(text);
    return contains(value, wanted) ? [] : [`json is ${show(value)}, should have ${show(wanted)}`];
  } catch (error) {
    return [`json is none (${error}), should have ${show(wanted)}`];
  }
}

/** What changed between two recordings of a directory. */
export function changes(label: string, before: Recording, after: Recording): string[] {
  const lines = [...new Set([...before.keys(), ...after.keys()])].flatMap((path) => {
    const [was, is] = [before.get(path), after.get(path)];
    if (was === is) return [];
    if (is === undefined) return [`${path} was removed`];
    return was === undefined ? [`${path} appeared`] : [`${path} changed, is ${is}, was ${was}`];
  });
  return lines.map((line) => `${label}: ${line}`);
}
