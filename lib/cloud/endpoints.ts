import { isIP } from "node:net";
import { quote } from "../text.ts";
import { StepFailure } from "./steps.ts";

/** An address that a sign-in may send requests to: only the functions of this file make them. */
export interface Endpoint {
  readonly url: URL;
  /** On this machine or its link: plain http, and never by way of a proxy. */
  readonly isLocal: boolean;
}

/** Where clouds serve the credentials of a machine, beside 169.254.0.0/16, which no router passes on. */
const metadataHosts: ReadonlySet<string> = new Set([
  "metadata.google.internal",
  "metadata.goog",
  "[fd00:ec2::254]",
  "[fd00:ec2::23]",
]);

/**
 * An address that the environment or a file of credentials names: https, or http on this machine or its link.
 * Throws a StepFailure that tells where the address stands, `name`, for anything else.
 */
export function namedEndpoint(text: string, name: string): Endpoint {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (url === undefined) throw new StepFailure(`${name} is not a URL`);
  if (url.username !== "" || url.password !== "") throw new StepFailure(`${name} has a user name in it`);
  const isLocal = url.protocol === "http:" && isLocalHost(url.hostname);
  if (url.protocol !== "https:" && !isLocal) {
    const shown = quote(`${url.protocol}//${url.host}`);
    throw new StepFailure(`${name} is ${shown}: it must be https, or http on this machine or a link-local address`);
  }
  return { url, isLocal };
}

/** As `namedEndpoint`, for an address in a file that may come from others: a host of the cloud's own, or this machine. */
export function vendorEndpoint(text: string, name: string, hosts: RegExp): Endpoint {
  const endpoint = namedEndpoint(text, name);
  const { hostname, host } = endpoint.url;
  if (isLoopback(hostname) || (!endpoint.isLocal && hosts.test(hostname))) return endpoint;
  throw new StepFailure(`${name} leads to ${quote(host)}, which is not an address of this cloud`);
}

/** The same server, another path and query. */
export function at({ url, isLocal }: Endpoint, path: string, query: Readonly<Record<string, string>> = {}): Endpoint {
  const next = new URL(url);
  next.pathname = `${next.pathname.replace(/\/+$/, "")}${path}`;
  for (const [key, value] of Object.entries(query)) next.searchParams.set(key, value);
  return { url: next, isLocal };
}

function isLocalHost(hostname: string): boolean {
  const isLinkLocal = isIP(hostname) === 4 && hostname.startsWith("169.254.");
  return isLinkLocal || isLoopback(hostname) || metadataHosts.has(hostname);
}

function isLoopback(hostname: string): boolean {
  return hostname === "localhost" || hostname === "[::1]" || (isIP(hostname) === 4 && hostname.startsWith("127."));
}
