import { existsSync } from "node:fs";
import { Directory } from "../disk/directory.ts";
import { describe } from "../errors.ts";
import { RestorerError } from "../failures.ts";
import { buildpackNameProblem, escapeId, layerNameProblem } from "../layers/names.ts";
import type { Log } from "../log.ts";
import { isJson } from "../pack/cache-metadata.ts";
import { isPacked, type StandingLayer, standingLayers } from "../pack/export-plan.ts";
import { inline, quote } from "../text.ts";
import { type Buildpack, readGroup } from "../toml/group.ts";

/** Opens a layers directory that is looked at. Throws a RestorerError. */
export function openLayers(path: string): Directory {
  try {
    return Directory.open(path, path, true);
  } catch (error) {
    throw new RestorerError(`open layers directory ${quote(path)}: ${describe(error)}`, { cause: error });
  }
}

/** What else lies in a layers directory. */
const notBuildpacks: ReadonlySet<string> = new Set(["sbom", "config", "generated", "extended"]);

/** Where buildpacks are told from. */
interface Group {
  readonly groupPath: string;
  /** Whether it must be there. */
  readonly isNeeded: boolean;
  /** Ids that are recorded elsewhere. */
  readonly known?: readonly string[] | undefined;
}

/**
 * The buildpacks whose layers an exporter would look at: those of the group; without one, unless it `isNeeded`, of every
 * directory, whose name is taken for that of the `known` id, or for the id.
 */
export function exporters(log: Log, layers: Directory, { groupPath, isNeeded, known = [] }: Group): Buildpack[] {
  if (isNeeded || existsSync(groupPath)) {
    return readGroup(groupPath, log).buildpacks.filter(({ id }) => {
      const problem = buildpackNameProblem(escapeId(id));
      if (problem !== undefined) log.warn(`Not packing layers of buildpack ${quote(id)}: ${problem.reason}`, "group");
      return problem === undefined;
    });
  }
  log.warn(`There is no ${inline(groupPath)}, taking every directory for a buildpack of that id`, "group");
  const directories = layers.list().filter(({ name, isDirectory }) => isDirectory && !notBuildpacks.has(name));
  // It does not tell `a/b` from `a_b`.
  const idOf = (name: string) => (known.includes(name) ? name : (known.find((id) => escapeId(id) === name) ?? name));
  return directories.map(({ name }) => ({ id: idOf(name), api: 0 })).sort((a, b) => (a.id < b.id ? -1 : 1));
}

/** The layers of these buildpacks, by name, and what an exporter makes of each. Throws the system's errors. */
export function layersOf(buildpacks: readonly Buildpack[], layers: Directory): StandingLayer[] {
  return buildpacks.flatMap((buildpack) => standingLayers(layers, buildpack, escapeId(buildpack.id)));
}

/** A layer, not to be packed if no exporter could record it. */
export function ifRecordable(layer: StandingLayer): StandingLayer {
  const reason = isPacked(layer) ? whyNot(layer) : undefined;
  return reason === undefined ? layer : { ...layer, code: "bad-toml", reason };
}

function whyNot({ layer, file }: StandingLayer): string | undefined {
  if (!isJson(file?.metadata)) return "its metadata holds a number that JSON does not know";
  return layerNameProblem(layer)?.reason;
}
