import { ExitCode, RestorerError } from "./failures.ts";
import { quote } from "./text.ts";

/** Supported minor versions of Platform API 0.x and Buildpack API 0.x (contract §1). */
const platform = { oldest: 7, newest: 15 } as const;
const buildpack = { oldest: 7, newest: 12 } as const;

export const newestPlatformApi = platform.newest;

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
  const what = text === undefined || text === "" ? "names no Buildpack API" : `has Buildpack API ${quote(text)}`;
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
