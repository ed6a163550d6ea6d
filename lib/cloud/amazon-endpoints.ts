import type { Environment } from "../environment.ts";
import { type Endpoint, namedEndpoint } from "./endpoints.ts";
import { ecrPrivate } from "./registries.ts";
import { StepFailure } from "./steps.ts";

/** A registry's own service that hands out its passwords. */
export interface EcrService {
  readonly name: "ecr" | "ecr-public";
  readonly host: string;
  readonly region: string;
  readonly target: string;
}

/** The region of the environment, if it names one. Throws a StepFailure for what cannot be one. */
export function ownRegion(env: Environment): string | undefined {
  const region = env["AWS_REGION"]?.trim() || env["AWS_DEFAULT_REGION"]?.trim() || undefined;
  if (region !== undefined && !/^[\w-]{1,64}$/.test(region)) throw new StepFailure(`AWS_REGION is not a region`);
  return region;
}

/** The service of a registry, whose name is one that `lib/cloud/registries.ts` knows. */
export function ecrService(env: Environment, registry: string): EcrService {
  const [, fips = "", region = "", suffix = ""] = ecrPrivate.exec(registry) ?? [];
  if (region === "") {
    const host = isTrue(env, dualStack) ? "ecr-public.us-east-1.api.aws" : "api.ecr-public.us-east-1.amazonaws.com";
    const target = "SpencerFrontendService.GetAuthorizationToken";
    return { name: "ecr-public", host, region: "us-east-1", target };
  }
  const dual = suffix.startsWith("on.") ? suffix.replace("on.", "api.") : dualOf(env, suffix);
  const isFips = fips !== "" || isTrue(env, fipsOnly);
  const host = `ecr${isFips ? "-fips" : ""}.${region}.${dual ?? suffix}`;
  const target = "AmazonEC2ContainerRegistry_V20150921.GetAuthorizationToken";
  return { name: "ecr", host: isFips || dual !== undefined ? host : `api.${host}`, region, target };
}

/** The address of that service. Throws a StepFailure where the environment names one that may not be asked. */
export function ecrEndpoint(env: Environment, { name, host }: EcrService): Endpoint {
  return amazonEndpoint(env, name === "ecr" ? "ECR" : "ECR_PUBLIC", host);
}

/** The region's security token service. */
export function stsEndpoint({ env, region }: { readonly env: Environment; readonly region: string }): Endpoint {
  const suffix = partitionOf(region);
  const dual = dualOf(env, suffix);
  // All that serves the American government is FIPS's, by its usual name.
  const isFips = isTrue(env, fipsOnly) && (dual !== undefined || !region.startsWith("us-gov-"));
  return amazonEndpoint(env, "STS", `sts${isFips ? "-fips" : ""}.${region}.${dual ?? suffix}`);
}

/** Domains of the partitions, by how the names of their regions begin. */
const suffixes: readonly (readonly [beginning: string, suffix: string])[] = [
  ["cn-", "amazonaws.com.cn"],
  ["eusc-", "amazonaws.eu"],
  ["us-isob-", "sc2s.sgov.gov"],
  ["us-isof-", "csp.hci.ic.gov"],
  ["eu-isoe-", "cloud.adc-e.uk"],
  ["us-iso-", "c2s.ic.gov"],
];

/** The partition of a region, by its domain: keys are good for all of it. */
export function partitionOf(region: string): string {
  return suffixes.find(([beginning]) => region.startsWith(beginning))?.[1] ?? "amazonaws.com";
}

const [dualStack, fipsOnly] = ["AWS_USE_DUALSTACK_ENDPOINT", "AWS_USE_FIPS_ENDPOINT"] as const;

/** Domains of the names that have addresses of IPv6, too; not all partitions have some. */
const dualSuffixes: ReadonlyMap<string, string> = new Map([
  ["amazonaws.com", "api.aws"],
  ["amazonaws.com.cn", "api.amazonwebservices.com.cn"],
  ["amazonaws.eu", "api.amazonwebservices.eu"],
]);

function dualOf(env: Environment, suffix: string): string | undefined {
  return isTrue(env, dualStack) ? dualSuffixes.get(suffix) : undefined;
}

function isTrue(env: Environment, name: string): boolean {
  return /^true$/i.test(env[name]?.trim() ?? "");
}

/** A service's address: what AWS_ENDPOINT_URL and its like name, else its own. */
function amazonEndpoint(env: Environment, service: string, own: string): Endpoint {
  const isIgnored = isTrue(env, "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS");
  const names = isIgnored ? [] : [`AWS_ENDPOINT_URL_${service}`, "AWS_ENDPOINT_URL"];
  const name = names.find((one) => env[one]?.trim());
  return name === undefined ? namedEndpoint(`https://${own}/`, "it") : namedEndpoint(env[name]?.trim() ?? "", name);
}
