import { parseReference } from "../oci/reference.ts";
import type { OfferedImage } from "../toml/run-toml.ts";

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

/** The digest of a digest reference, `name@sha256:<hex>`; undefined for other names. */
export function digestNamedBy(reference: string): string | undefined {
  return /@(sha256:[0-9a-f]{64})$/.exec(reference)?.[1];
}

/** A name with registry and tag, without a digest; what is not a reference stays as it is. */
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
