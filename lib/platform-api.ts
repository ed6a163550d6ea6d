import { ExitCode, RestorerError } from "./failures.ts";
import { quote } from "./text.ts";

/** Supported minor versions of Platform API 0.x and Buildpack API 0.x (contract §1). */
const platform = { oldest: 7, newest: 15 } as const;
const buildpack = { oldest: 7, newest: 12 } as const;

export const newestPlatformApi = platform.newest;
export const newestBuildpackApi = buildpack.newest;

/** A behaviour that is newer than the oldest API supported: `since` is N of API 0.N. */
export interface Gate {
  readonly since: number;
  readonly what: string;
}

/** What changed in which Platform API, oldest first. */
export const platformGates = {
  sbom: { since: 8, what: "SBOM files come back beside their layers" },
  "build-image": { since: 10, what: "the build image is saved for the extender" },
  "run-image-digest": { since: 10, what: "the digest of the run image is recorded where the group has extensions" },
  "extend-run-image": { since: 12, what: "a run image that is to be extended is saved for the extender" },
  "run-image-target": { since: 12, what: "the target of the run image is recorded beside its digest" },
  daemon: { since: 12, what: "the run image may be read from the Docker daemon" },
  layout: { since: 12, what: "the run image may be read from an OCI layout" },
  generated: { since: 12, what: "the directory of generated files may be named" },
  "insecure-registries": { since: 13, what: "registries without verified https may be named" },
  "run-toml": { since: 14, what: "the run image is checked, and its mirrors in run.toml stand in for it" },
  "launch-from-cache": { since: 14, what: "a cached launch layer is restored though the app image does not have it" },
  "exec-env": { since: 15, what: "layers made for other execution environments are not restored" },
} as const satisfies Record<string, Gate>;

/** What changed in which Buildpack API; it counts for the layers of the buildpacks that ask for it. */
export const buildpackGates = {
  "exec-env": { since: 12, what: "a layer's metadata may name its execution environments" },
} as const satisfies Record<string, Gate>;

export type PlatformFeature = keyof typeof platformGates;
type BuildpackFeature = keyof typeof buildpackGates;

/** Whether Platform API 0.`minor` has a feature. */
export function platformHas(minor: number, feature: PlatformFeature): boolean {
  return minor >= platformGates[feature].since;
}

/** Whether Buildpack API 0.`minor` has a feature. */
export function buildpackHas(minor: number, feature: BuildpackFeature): boolean {
  return minor >= buildpackGates[feature].since;
}

/** The minor version N of a requested Platform API "0.N". Throws a RestorerError with exit code 11. */
export function parsePlatformApi(text: string): number {
  const minor = parseMinor(text, platform);
  if (minor !== undefined) return minor;
  throw new RestorerError(`set platform API: platform API version ${quote(text)} is not supported`, {
    exitCode: ExitCode.platformApi,
    hint: `Set CNB_PLATFORM_API to one of 0.${platform.oldest} to 0.${platform.newest}.`,
  });
}

/** The minor version N of a buildpack's API "0.N". Throws a RestorerError with exit code 12, naming the buildpack. */
export function parseBuildpackApi(id: string, text: string | undefined): number {
  const minor = text === undefined ? undefined : parseMinor(text, buildpack);
  if (minor !== undefined) return minor;
  const what = text
    ? `asks for Buildpack API ${quote(text)}, which is not supported`
    : "does not say its Buildpack API";
  throw new RestorerError(`verify buildpack APIs: buildpack ${quote(id)} ${what}`, {
    exitCode: ExitCode.buildpackApi,
    hint: `Supported are 0.${buildpack.oldest} to 0.${buildpack.newest}; the api of each [[group]] element is in group.toml.`,
  });
}

function parseMinor(text: string, range: { oldest: number; newest: number }): number | undefined {
  const match = /^v?0\.(0|[1-9][0-9]?)$/.exec(text);
  const minor = Number(match?.[1] ?? Number.NaN);
  return minor >= range.oldest && minor <= range.newest ? minor : undefined;
}
