import { isTable, type TomlTable, type TomlValue } from "../toml/values.ts";
import type { BaseConfig } from "./known-image.ts";

/** What is found out about the run image. */
export interface RunImageFacts {
  readonly image?: string;
  readonly reference?: string;
  readonly target?: BaseConfig;
}

/** analyzed.toml with the build image that is used; keys we do not own stay. */
export function recordBuildImage(table: TomlTable, reference: string): TomlTable {
  return { ...table, "build-image": { ...asTable(table["build-image"]), reference } };
}

/** analyzed.toml with what was found out about the run image; keys we do not own stay. */
export function recordRunImage(table: TomlTable, { target, ...names }: RunImageFacts): TomlTable {
  const standing = asTable(table["run-image"]);
  const targets = target === undefined ? {} : { target: targetTable(asTable(standing["target"]), target) };
  return { ...table, "run-image": { ...standing, ...names, ...targets } };
}

/** `[run-image.target]` (Platform API, analyzed.toml) of an image's config and labels. */
function targetTable(standing: TomlTable, { os, architecture, variant, labels }: BaseConfig): TomlTable {
  const distro = replace(asTable(standing["distro"]), {
    name: labels.get("io.buildpacks.base.distro.name"),
    version: labels.get("io.buildpacks.base.distro.version"),
  });
  return replace(standing, {
    id: labels.get("io.buildpacks.base.id"),
    os,
    arch: architecture,
    "arch-variant": variant,
    distro: Object.keys(distro).length === 0 ? undefined : distro,
  });
}

/** A table with other values for some keys; those without one are left out. */
function replace(table: TomlTable, values: Readonly<Record<string, TomlValue | undefined>>): TomlTable {
  const kept = Object.entries(table).filter(([key]) => !(key in values));
  const set = Object.entries(values).flatMap(([key, value]): [string, TomlValue][] =>
    value === undefined || value === "" ? [] : [[key, value]],
  );
  return Object.fromEntries([...kept, ...set]);
}

function asTable(value: unknown): TomlTable {
  return isTable(value) ? value : {};
}
