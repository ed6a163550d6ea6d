import { ManifestError } from "./document.ts";
import type { Descriptor, Index, Manifest, Platform } from "./manifest.ts";

/** How many indexes an index may lead through, itself included: more than anybody has seen. */
const maximumLevels = 3;

/**
 * Follows indexes to the manifest they lead to. `choose` takes a member of an index, `read` gets it.
 * Throws a ManifestError for too many indexes inside each other, and what the two throw.
 */
export async function findManifest<D extends { readonly content: Manifest | Index }>(
  start: D,
  choose: (index: Index) => Descriptor,
  read: (member: Descriptor) => Promise<D>,
): Promise<{ readonly document: D; readonly manifest: Manifest }> {
  let document = start;
  for (let level = 0; ; level++) {
    const { content } = document;
    if (content.kind === "manifest") return { document, manifest: content };
    if (level === maximumLevels) throw new ManifestError("too many indexes inside each other");
    document = await read(choose(content));
  }
}

/**
 * The member of an index for a platform: operating system and architecture must agree. Of several variants the one asked
 * for is taken, else one without a variant, else the first listed; of any architecture, the first listed.
 * Throws a ManifestError that lists what there is.
 */
export function selectPlatform(index: Index, { os, architecture, variant = "" }: Platform): Descriptor {
  const any = architecture === undefined;
  const fitting = index.manifests.filter(
    ({ platform }) => platform?.os === os && (any || platform.architecture === architecture),
  );
  const withVariant = (wanted: string) =>
    fitting.find((m) => normalVariant(architecture, m.platform?.variant) === normalVariant(architecture, wanted));
  const found = (any ? undefined : (withVariant(variant) ?? withVariant(""))) ?? fitting[0];
  if (found === undefined) {
    const there = index.manifests.slice(0, 20).map(({ platform }) => showPlatform(platform));
    throw new ManifestError(
      `the image has no member for ${showPlatform({ os, architecture, variant })}, only for ${there.join(", ") || "nothing"}`,
    );
  }
  return { mediaType: found.mediaType, digest: found.digest, size: found.size };
}

/** `v8` is what every arm64 is, and `v1` every amd64; both are left out as often as not. */
function normalVariant(architecture: string | undefined, variant = ""): string {
  if (architecture === "arm64" && variant === "v8") return "";
  return architecture === "amd64" && variant === "v1" ? "" : variant;
}

function showPlatform(platform: Platform | null | undefined): string {
  if (!platform) return "unknown";
  return [platform.os, platform.architecture, platform.variant].filter((part) => part).join("/") || "unknown";
}

/** Linux on this machine's architecture. */
export function ownPlatform(): Platform {
  return { os: "linux", architecture: ownArchitecture() };
}

/** This machine's architecture in the words of the OCI image specification, which are Go's. */
function ownArchitecture(): string {
  const names: Readonly<Record<string, string>> = { x64: "amd64", ia32: "386" };
  return names[process.arch] ?? process.arch;
}
