import * as v from "valibot";
import { errorCode } from "../errors.ts";
import { RestorerError } from "../failures.ts";
import type { Log } from "../log.ts";
import { parseReference } from "../oci/reference.ts";
import { quote } from "../text.ts";
import { explainFile } from "./problem.ts";
import { readToml } from "./toml.ts";

const runSchema = v.object({
  images: v.optional(
    v.array(v.object({ image: v.optional(v.string(), ""), mirrors: v.optional(v.array(v.string()), []) })),
    [],
  ),
});

/** A run image the platform offers, under all its names. */
export interface OfferedImage {
  readonly image: string;
  readonly mirrors: readonly string[];
}

/**
 * Reads run.toml (Platform API, run.toml). A missing file offers nothing, as platforms without mirrors have none.
 * Throws a RestorerError (exit 1) for one that cannot be read.
 */
export function readRunToml(path: string, log: Log): readonly OfferedImage[] {
  try {
    return v.parse(runSchema, readToml(path)).images;
  } catch (error) {
    if (errorCode(error) === "ENOENT") {
      log.debug(`No run metadata found at path ${quote(path)}`);
      return [];
    }
    throw new RestorerError(`read run file ${explainFile(path, error)}`, {
      cause: error,
      hint: "It comes with the builder; name it with -run or CNB_RUN_PATH.",
    });
  }
}

/**
 * The other names of an image that run.toml offers, those in the same registry first; undefined when it offers no such
 * image. Digests do not matter, a missing tag is `latest`.
 */
export function otherNames(offered: readonly OfferedImage[], name: string): readonly string[] | undefined {
  const wanted = normalName(name);
  const namesOf = ({ image, mirrors }: OfferedImage) => [image, ...mirrors].filter((each) => each !== "");
  const names = offered.map(namesOf).find((each) => each.some((one) => normalName(one) === wanted));
  const others = names?.filter((one) => normalName(one) !== wanted);
  const isNear = (one: string) => registryOf(one) === registryOf(name);
  return others && [...others.filter(isNear), ...others.filter((one) => !isNear(one))];
}

/** A name with registry and tag, without a digest; what is no reference stays as it is. */
function normalName(name: string): string {
  try {
    const { registry, repository, tag } = parseReference(name.replace(/@sha256:.*$/, ""));
    return `${registry}/${repository}:${tag}`;
  } catch {
    return name;
  }
}

function registryOf(name: string): string | undefined {
  try {
    return parseReference(name).registry;
  } catch {
    return undefined;
  }
}
