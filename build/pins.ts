/** What a release is made of beside the sources: npm packages pinned in package-lock.json, glibc in release-pins.json. */
import { readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import {
  array,
  boolean,
  type InferOutput,
  object,
  optional,
  parse,
  picklist,
  pipe,
  record,
  regex,
  string,
} from "valibot";

export const project = resolve(import.meta.dir, "..");

/** The machines that releases are made for, in Node's words. */
export const machines = ["x64", "arm64"] as const;
export const machineSchema = picklist(machines);
export type Machine = InferOutput<typeof machineSchema>;
/** The machines in the words of Debian, Go and OCI. */
export const architectures = { x64: "amd64", arm64: "arm64" } as const satisfies Record<Machine, string>;

const debianPackage = object({ path: string(), sha256: pipe(string(), regex(/^[0-9a-f]{64}$/)) });
const releasePins = object({
  /** Where Debian's pool is: the first that has a package counts. The second one keeps what the first has no more. */
  debian: array(string()),
  glibc: object({
    version: string(),
    packages: object({ x64: debianPackage, arm64: debianPackage }),
    /** The description of the source package: it names the files of the source, and their sums. */
    source: string(),
  }),
});

const lockedPackage = object({
  version: optional(string()),
  /** As npm writes it: `sha512-<base64>`. */
  integrity: optional(string()),
  license: optional(string()),
  dev: optional(boolean()),
  dependencies: optional(record(string(), string())),
});
type LockedPackage = InferOutput<typeof lockedPackage>;

function json(name: string): unknown {
  return JSON.parse(readFileSync(join(project, name), "utf8"));
}

/** Of package.json: what releases are called. */
const packageJson = object({ name: string(), version: string(), description: string(), license: string() });
export const release = parse(packageJson, json("package.json"));

export const pins = parse(releasePins, json("build/release-pins.json"));

/** The packages of package-lock.json by their paths (`node_modules/ky`); the project itself is "". */
export const lockedPackages: ReadonlyMap<string, LockedPackage> = new Map(
  Object.entries(parse(object({ packages: record(string(), lockedPackage) }), json("package-lock.json")).packages),
);

/** npm's package with Bun for a machine. The optimized and the `-baseline` package for x64 hold the same bytes (Bun 1.4.5). */
export function bunPackage(machine: Machine): { name: string; version: string; integrity: string } {
  const name = `@oven/bun-linux-${machine === "arm64" ? "aarch64" : machine}`;
  const { version, integrity } = lockedPackages.get(`node_modules/${name}`) ?? {};
  if (version === undefined || integrity === undefined) throw new Error(`package-lock.json does not pin ${name}`);
  return { name, version, integrity };
}
