import * as v from "valibot";
import { RestorerError } from "../failures.ts";
import { limits, refuseMore } from "../limits.ts";
import type { Log } from "../log.ts";
import { parseBuildpackApi } from "../platform-api.ts";
import { quote } from "../text.ts";
import { describeFileError } from "./parse-error.ts";
import { readTomlAs } from "./toml.ts";
import type { TomlTable } from "./values.ts";

const element = v.object({ id: v.string(), version: v.optional(v.string()), api: v.optional(v.string()) });

const groupSchema = v.object({
  group: v.optional(v.array(element), []),
  "group-extensions": v.optional(v.array(v.looseObject({})), []),
});

/** A buildpack of the group; `api` is N of Buildpack API 0.N, `version` its own, as far as recorded. */
export interface Buildpack {
  readonly id: string;
  readonly api: number;
  readonly version?: string;
}

/** The buildpacks whose layers are restored (Platform API, group.toml). */
export interface Group {
  readonly buildpacks: readonly Buildpack[];
  readonly hasExtensions: boolean;
}

/** Reads group.toml. Throws RestorerErrors: exit 1 when missing or malformed, 12 for an unsupported Buildpack API. */
export function readGroup(path: string, log: Pick<Log, "warn">): Group {
  const hint = "It is written by the detector; name it with -group or CNB_GROUP_PATH.";
  try {
    const group = readTomlAs(path, toGroup);
    if (group.buildpacks.length === 0) {
      log.warn(`The group file ${quote(path)} lists no buildpacks: it has no [[group]]`, "group");
    }
    return group;
  } catch (error) {
    if (error instanceof RestorerError && error.exitCode !== 1) throw error;
    throw new RestorerError(`read group file ${describeFileError(path, error)}`, { hint });
  }
}

function toGroup(table: TomlTable): Group {
  const raw = v.parse(groupSchema, table, { abortEarly: true });
  refuseMore(raw.group.length, limits.buildpacks, "buildpack");
  const buildpacks: Buildpack[] = [];
  for (const { id, api, version } of raw.group) {
    buildpacks.push({ id, api: parseBuildpackApi(id, api), ...(version === undefined ? {} : { version }) });
  }
  return { buildpacks, hasExtensions: raw["group-extensions"].length > 0 };
}
