import type { Platform } from "./manifest.ts";

/**
 * Of several that are for some platform each, the one for the platform wanted: operating system and architecture must
 * agree. Of several variants the one asked for is taken, else one without a variant, else the first listed.
 */
export function choosePlatform<T extends { readonly platform?: Platform | undefined }>(
  all: readonly T[],
  { os, architecture, variant = "" }: Platform,
): T | undefined {
  const fitting = all.filter(({ platform }) => platform?.os === os && platform.architecture === architecture);
  const withVariant = (wanted: string) =>
    fitting.find((one) => normalVariant(architecture, one.platform?.variant) === normalVariant(architecture, wanted));
  return withVariant(variant) ?? withVariant("") ?? fitting[0];
}

/** Whether two platforms are the same down to the variant. */
export function isSame(one: Platform, other: Platform): boolean {
  const { os, architecture } = one;
  const variants = [one, other].map(({ variant }) => normalVariant(architecture, variant));
  return os === other.os && architecture === other.architecture && variants[0] === variants[1];
}

/** Whether what is said of a platform, if anything, contradicts the one wanted. */
export function contradicts(said: Platform | undefined, wanted: Platform): boolean {
  return differ(said?.os, wanted.os) || differ(said?.architecture, wanted.architecture);
}

function differ(said: string | undefined, wanted: string): boolean {
  return said !== undefined && said !== "" && said !== wanted;
}

/** `v8` is what every arm64 is, and `v1` every amd64; both are left out as often as not. */
function normalVariant(architecture: string | undefined, variant = ""): string {
  if (architecture === "arm64" && variant === "v8") return "";
  return architecture === "amd64" && variant === "v1" ? "" : variant;
}

/** A platform in words: `linux/arm/v7`. */
export function showPlatform(platform: Platform | undefined): string {
  if (platform === undefined) return "unknown";
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
