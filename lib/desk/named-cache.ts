import { existsSync } from "node:fs";
import { dirname } from "node:path";
import type { Cache } from "../caches/cache.ts";
import { CacheError } from "../caches/cache.ts";
import { chooseCache, openCaches } from "../caches/open.ts";
import { cacheReferences, isDirectory, type NamedCaches, placeNamed } from "../caches/place.ts";
import { invalid } from "../cli/arguments.ts";
import { ExitCode, RestorerError } from "../failures.ts";
import { imagesInUse } from "../images/plan.ts";
import { isLayoutReference } from "../oci/reference.ts";
import { openRegistry } from "../registry/open.ts";
import { quote } from "../text.ts";
import type { ImageMetadata } from "../toml/metadata.ts";
import type { Desk } from "./desk.ts";

/** A cache that a command is about, and what it holds; nothing where no build has been exported to it yet. */
export interface NamedCache {
  readonly cache: Cache;
  readonly metadata: ImageMetadata | undefined;
}

/**
 * Which cache the words of a command name, and the words behind it. A flag says it for all; a variable, or -cache-from, where
 * the first word does not look like a cache.
 */
export function takeCache({ options }: Desk): { readonly word: string | undefined; readonly rest: readonly string[] } {
  const [word, ...rest] = options.words;
  const { cacheByFlag, cache } = options.named;
  if (cacheByFlag || (cache && (word === undefined || !looksLikeCache(word))))
    return { word: undefined, rest: options.words };
  if (word === undefined)
    throw invalid("no cache is named: expected a directory, an image reference, or oci:DIR[:TAG]");
  return { word, rest };
}

function looksLikeCache(word: string): boolean {
  // A buildpack's id may look like a repository, but not like a registry.
  return /^[./]/.test(word) || isLayoutReference(word) || namesRegistry(word) || isDirectory(word);
}

function namesRegistry(word: string): boolean {
  return /^(localhost|[^/]*[.:][^/]*)\/./.test(word);
}

/**
 * Opens the cache of that name, or else the first that exists of those that flags and variables name, and reads what it holds.
 * Throws RestorerErrors.
 */
export async function openNamedCache(desk: Desk, word: string | undefined): Promise<NamedCache> {
  const { session } = desk;
  const cacheFrom = desk.options.named.fallbackByFlag ? session.inputs.cacheFrom : [];
  const named = word === undefined ? {} : { ...placeOf(word), cacheFrom };
  const inputs = { ...session.inputs, ...named, skipLayers: false };
  const registry = await openRegistry(session, imagesInUse(cacheReferences(inputs), undefined));
  const caches = await openCaches({ ...session, inputs }, registry);
  const [first] = caches;
  if (first === undefined) throw invalid("no cache is named");
  if (caches.length > 1) {
    const chosen = await chooseCache(caches, { ...session, inputs }, () => {});
    if (chosen?.cache.isThere() === true) return chosen;
  }
  return { cache: first, metadata: await readOrFail(first, word) };
}

async function readOrFail(cache: Cache, word: string | undefined): Promise<ImageMetadata | undefined> {
  try {
    const metadata = await cache.metadata();
    if (cache.isThere()) return metadata;
    throw new CacheError(`cannot open ${cache.name}: there is no such image`, { isFirstBuild: true });
  } catch (error) {
    if (!(error instanceof CacheError)) throw error;
    const code = error.isFirstBuild ? "no-cache" : "cache-unusable";
    const hint = word !== undefined && isNearlyPath(word) ? `There is no directory ${quote(word)} either.` : undefined;
    throw new RestorerError(error.message, { exitCode: ExitCode.failed, code, cause: error, ...(hint && { hint }) });
  }
}

/** Whether a word that was taken for an image may be a path: it names no registry, or all of it but the end is there. */
function isNearlyPath(word: string): boolean {
  if (placeNamed(word).kind !== "image" || isLayoutReference(word) || !word.includes("/")) return false;
  return !namesRegistry(word) || isDirectory(dirname(word));
}

/** How a layers directory is named, which `diff` compares with a cache. */
export const layersMarker = "layers:";

/** The place that a word names, in place of all others. */
function placeOf(word: string): Pick<NamedCaches, "cacheDir" | "cacheImage"> {
  const place = placeNamed(word);
  if (word.startsWith(layersMarker) && !isDirectory(word))
    throw invalid(`${quote(word)} is a layers directory, not a cache; diff compares a cache with one`);
  if (place.kind === "image") return { cacheDir: undefined, cacheImage: place.reference };
  // A word alone is more likely misspelled than a first build.
  if (!/^[./]/.test(word) && !isDirectory(word)) {
    const what = existsSync(word) ? "it is not a directory" : "no such file or directory";
    throw new RestorerError(`cannot open cache directory ${quote(word)}: ${what}`, {
      code: "no-cache",
      hint: "A cache is a directory, an image reference such as registry.example/app-cache, or oci:DIR[:TAG].",
    });
  }
  return { cacheDir: place.path, cacheImage: undefined };
}
