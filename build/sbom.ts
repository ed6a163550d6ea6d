import { type Bundled, bundledFor, directDependencies } from "./bundled.ts";
import { type Machine, release } from "./pins.ts";
import { sha256 } from "./tar.ts";

/** The bill of materials of an executable, as CycloneDX 1.6 JSON. Its serial number comes from the executable, too. */
export function sbomOf(machine: Machine, executable: Uint8Array): string {
  const sum = sha256(executable);
  const bundled = bundledFor(machine);
  const { name, version, description, license } = release;
  const component = {
    type: "application",
    "bom-ref": name,
    name,
    version,
    description,
    hashes: [{ alg: "SHA-256", content: sum }],
    licenses: licences(license),
    purl: `pkg:generic/${name}@${version}?os=linux&arch=${machine}`,
  };
  const bom = {
    $schema: "http://cyclonedx.org/schema/bom-1.6.schema.json",
    bomFormat: "CycloneDX",
    specVersion: "1.6",
    serialNumber: `urn:uuid:${uuidOf(sum)}`,
    version: 1,
    metadata: { component },
    components: bundled.map(componentOf),
    dependencies: [
      { ref: name, dependsOn: [...directDependencies(), "bun"].sort() },
      ...bundled.map(({ ref, needs }) => ({ ref, dependsOn: [...needs].sort() })),
    ],
  };
  return `${JSON.stringify(bom, null, 2)}\n`;
}

function componentOf({ ref, name, version, licence, purl, sum, what }: Bundled): object {
  const scope = /^@[^/]+/.exec(name)?.[0];
  return {
    type: ref === "bun" ? "platform" : "library",
    "bom-ref": ref,
    ...(scope === undefined ? { name } : { group: scope, name: name.slice(scope.length + 1) }),
    version,
    description: what,
    hashes: [{ alg: sum.algorithm, content: sum.hex }],
    licenses: licences(licence),
    purl,
  };
}

/** SPDX identifiers and expressions stand at different places. */
function licences(licence: string): object[] {
  return [licence.includes(" ") ? { expression: licence } : { license: { id: licence } }];
}

/** A UUID of version 8 (RFC 9562) made of a sum. */
function uuidOf(sum: string): string {
  const variant = "89ab"[Number.parseInt(sum[16] ?? "0", 16) % 4];
  return [
    sum.slice(0, 8),
    sum.slice(8, 12),
    `8${sum.slice(13, 16)}`,
    `${variant}${sum.slice(17, 20)}`,
    sum.slice(20, 32),
  ].join("-");
}
