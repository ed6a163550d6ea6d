/** What the executable of a release is made of beside the project's own code. */
import { architectures, bunPackage, lockedPackages, type Machine, pins, release } from "./pins.ts";

export interface Bundled {
  /** The name by which packages name each other: its path in package-lock.json, or a word. */
  readonly ref: string;
  readonly name: string;
  readonly version: string;
  /** An SPDX identifier or expression. */
  readonly licence: string;
  /** Package URL (https://github.com/package-url/purl-spec). */
  readonly purl: string;
  readonly sum: { readonly algorithm: "SHA-256" | "SHA-512"; readonly hex: string };
  readonly needs: readonly string[];
  readonly what: string;
}

const prefix = "node_modules/";

/** The npm packages that are compiled in: the dependencies of the project, and what they need. */
function npmPackages(): Bundled[] {
  const found = new Map<string, Bundled>();
  const visit = (ref: string): void => {
    if (found.has(ref)) return;
    const { version, integrity = "", license, dependencies } = lockedPackages.get(ref) ?? {};
    if (version === undefined || license === undefined || !integrity.startsWith("sha512-"))
      throw new Error(`package-lock.json lacks the version, the licence or the sha512 of ${ref}`);
    const name = ref.slice(ref.lastIndexOf(prefix) + prefix.length);
    const [purl, sum, needs] = [npmUrl(name, version), sha512(integrity), placesOf(ref, dependencies)];
    found.set(ref, { ref, name, version, licence: license, purl, sum, needs, what: "npm package, compiled in" });
    for (const need of needs) visit(need);
  };
  for (const ref of directDependencies()) visit(ref);
  return [...found.values()].sort((a, b) => (a.ref < b.ref ? -1 : 1));
}

/** Where the packages lie that a package imports: as Node looks for them, in its own directory and in those above. */
function placesOf(ref: string, dependencies: Readonly<Record<string, string>> = {}): string[] {
  return Object.keys(dependencies).map((name) => {
    for (let at = ref; ; at = at.slice(0, Math.max(0, at.lastIndexOf(`/${prefix}`)))) {
      const place = `${at === "" ? "" : `${at}/`}${prefix}${name}`;
      if (lockedPackages.has(place)) return place;
      if (at === "") throw new Error(`package-lock.json lacks ${name}, which ${ref || "the project"} needs`);
    }
  });
}

/** What the project itself imports, by the paths of package-lock.json. */
export function directDependencies(): string[] {
  return placesOf("", lockedPackages.get("")?.dependencies);
}

/** npm packages, the runtime and its C library, as pinned for a machine. */
export function bundledFor(machine: Machine): Bundled[] {
  const bun = bunPackage(machine);
  const { version, packages } = pins.glibc;
  return [
    ...npmPackages(),
    {
      ref: "bun",
      name: bun.name,
      version: bun.version,
      // The engine, linked statically, is under the LGPL.
      licence: "MIT AND LGPL-2.0-or-later",
      purl: npmUrl(bun.name, bun.version),
      sum: sha512(bun.integrity),
      needs: ["glibc"],
      what: "the runtime, with JavaScriptCore and more linked statically",
    },
    {
      ref: "glibc",
      name: "libc6",
      version,
      licence: "LGPL-2.1-or-later",
      purl: `pkg:deb/debian/libc6@${encodeURIComponent(version)}?arch=${architectures[machine]}&distro=debian-12`,
      sum: { algorithm: "SHA-256", hex: packages[machine].sha256 },
      needs: [],
      what: "the GNU C library: its loader (changed in two places), libc and libm",
    },
  ];
}

/** The terms of all that is in the executable, as one SPDX expression. */
export function licencesOf(machine: Machine): string {
  const all = [release.license, ...bundledFor(machine).flatMap(({ licence }) => licence.split(" AND "))];
  return [...new Set(all)].sort().join(" AND ");
}

function npmUrl(name: string, version: string): string {
  return `pkg:npm/${name.replace("@", "%40")}@${version}`;
}

function sha512(integrity: string): Bundled["sum"] {
  return { algorithm: "SHA-512", hex: Buffer.from(integrity.replace("sha512-", ""), "base64").toString("hex") };
}
