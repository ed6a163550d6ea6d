import { BlockList, isIP } from "node:net";
import type { Environment } from "../environment.ts";

/** A proxy's address with its password, for the request; and without, for people. */
export interface ProxyAddress {
  readonly url: string;
  readonly shown: string;
}

/**
 * The proxy for each address by HTTPS_PROXY, HTTP_PROXY and NO_PROXY (either case, the upper one first), with the rules of
 * Go's net/http: this machine is never reached through a proxy; NO_PROXY holds `*`, domains (with their subdomains; with a
 * leading dot only those), addresses, CIDR ranges, each perhaps with a port.
 */
export function createProxies(env: Environment): (url: URL) => ProxyAddress | undefined {
  const get = (name: string) => env[name] || env[name.toLowerCase()] || "";
  const proxies = { "https:": parseProxy(get("HTTPS_PROXY")), "http:": parseProxy(get("HTTP_PROXY")) };
  const exceptions = get("NO_PROXY")
    .split(",")
    .map((entry) => entry.trim().toLowerCase())
    .filter((entry) => entry !== "")
    .map(parseException);
  return (url) => {
    if (url.protocol !== "https:" && url.protocol !== "http:") return undefined;
    const host = url.hostname.replace(/^\[|\]$/g, "").toLowerCase();
    const port = url.port || (url.protocol === "https:" ? "443" : "80");
    if (host === "localhost" || isLoopback(host)) return undefined;
    return exceptions.some((matches) => matches(host, port)) ? undefined : proxies[url.protocol];
  };
}

function parseProxy(text: string): ProxyAddress | undefined {
  if (text === "") return undefined;
  const whole = /^[a-z0-9]+:\/\//i.test(text) ? text : `http://${text}`;
  const url = URL.canParse(whole) ? whole : undefined;
  if (url === undefined) return { url: text, shown: "(malformed address)" };
  const { protocol, host } = new URL(url);
  return { url, shown: `${protocol}//${host}` };
}

function isLoopback(host: string): boolean {
  return host === "::1" || (isIP(host) === 4 && host.startsWith("127."));
}

type Exception = (host: string, port: string) => boolean;

function parseException(entry: string): Exception {
  if (entry === "*") return () => true;
  const range = /^([0-9a-f.:]+)\/(\d{1,3})$/.exec(entry);
  if (range !== null) return inRange(range[1] ?? "", Number(range[2]));
  const match = /^(?:\[([^\]]+)\]|([^:]*))(?::(\d+))?$/.exec(entry);
  // Without brackets an IPv6 address cannot have a port.
  const [name = entry, wantedPort] = match === null ? [entry] : [match[1] ?? match[2], match[3]];
  const samePort = (port: string) => wantedPort === undefined || wantedPort === port;
  if (isIP(name) !== 0) return (host, port) => host === name && samePort(port);
  const suffix = `.${name.replace(/^\*?\./, "")}`;
  const itself = /^\*?\./.test(name) ? undefined : name;
  return (host, port) => (host === itself || host.endsWith(suffix)) && samePort(port);
}

function inRange(network: string, bits: number): Exception {
  const list = new BlockList();
  try {
    list.addSubnet(network, bits, isIP(network) === 6 ? "ipv6" : "ipv4");
  } catch {
    return () => false;
  }
  return (host) => isIP(host) !== 0 && list.check(host, isIP(host) === 6 ? "ipv6" : "ipv4");
}
