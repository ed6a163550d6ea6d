import { quote } from "../text.ts";
import type { Reason } from "./outcomes.ts";

/** Files of a buildpack's directory that a layer's `<layer>.toml` would take the place of (Buildpack spec). */
const reservedLayerNames: ReadonlySet<string> = new Set(["store", "launch", "build"]);

/** What is wrong with a name. */
interface NameProblem extends Reason {
  readonly code: "reserved-name" | "unsafe-name";
}

/** NAME_MAX of Linux. */
export const maxNameBytes = 255;
const maxLayerNameBytes = maxNameBytes - ".toml".length;

/** The directory of a buildpack below the layers directory (Platform API: every `/` becomes `_`). */
export function escapeId(id: string): string {
  return id.replaceAll("/", "_");
}

/** Why a name cannot be a layer of a buildpack (D11). */
export function layerNameProblem(name: string): NameProblem | undefined {
  if (reservedLayerNames.has(name)) return { code: "reserved-name", reason: `a layer may not be named ${quote(name)}` };
  return componentProblem(name, "layer name", maxLayerNameBytes);
}

/** Why an escaped buildpack id cannot be a directory below the layers directory (D11). */
export function buildpackNameProblem(directory: string): NameProblem | undefined {
  if (directory === "sbom") {
    const reason = '<layers>/sbom is the place of SBOM files, so no buildpack may be named "sbom"';
    return { code: "reserved-name", reason };
  }
  return componentProblem(directory, "buildpack id", maxNameBytes);
}

/** Whether what stands under a layer's name can be that layer's, and may be removed with it. */
export function isLayersOwnPlace(name: string): boolean {
  return isComponent(name) && !reservedLayerNames.has(name);
}

const sbomSuffix = /^sbom\.[A-Za-z0-9_-]+\.json$/;

/** Whether a name is that of an SBOM file without its layer, as an exporter lays them out: `sbom.cdx.json`. */
export function isSbomSuffix(name: string): boolean {
  return sbomSuffix.test(name);
}

/** Whether a name is that of an SBOM file of this layer. */
export function isSbomFileOf(layer: string, name: string): boolean {
  return name.startsWith(`${layer}.`) && isSbomSuffix(name.slice(layer.length + 1));
}

/** Which layer's SBOM file has this name, and what follows that layer's name in it: of `x.sbom.cdx.json`, x. */
export function sbomFileOf(name: string): { readonly layer: string; readonly suffix: string } | undefined {
  const [, layer, suffix] = /^(.+)\.(sbom\.[A-Za-z0-9_-]+\.json)$/s.exec(name) ?? [];
  return layer === undefined || suffix === undefined ? undefined : { layer, suffix };
}

function componentProblem(name: string, what: string, maxBytes: number): NameProblem | undefined {
  const unsafe = (problem: string): NameProblem => ({ code: "unsafe-name", reason: `the ${what} ${problem}` });
  if (name === "") return unsafe("is empty");
  if (!isComponent(name)) return unsafe("is not a safe file name");
  if (name.startsWith(".restorer-")) return unsafe("begins like a staging directory");
  // No character of UTF-16 takes more than three bytes.
  if (name.length * 3 > maxBytes && byteLength(name) > maxBytes) return unsafe(`is longer than ${maxBytes} bytes`);
  return undefined;
}

function byteLength(name: string): number {
  return Buffer.byteLength(name);
}

/** Whether a name is one component of a path that leads to an entry of its own. */
function isComponent(name: string): boolean {
  return name !== "" && name !== "." && name !== ".." && !name.includes("/") && !name.includes("\0");
}
