import { isIP } from "node:net";

/** How a registry is spoken to. */
export type Scheme = "https" | "http";

/** Which registries may be spoken to in the clear or without a verified certificate, and where requests may be led. */
export interface Hosts {
  /** Schemes to try, in order. */
  schemes(registry: string): readonly [Scheme, ...Scheme[]];
  /** Whether TLS certificates of a host are verified: unless it was named insecure, port and all. */
  verifies(url: URL): boolean;
  /** What was named as insecure that differs from a host only by its port: it was perhaps meant. */
  similarInsecure(host: string): string | undefined;
  /** Why a registry may not send us to this address with a redirect; undefined when it may. */
  refuseRedirect(registry: string, from: URL, to: URL): string | undefined;
  /**
   * Why a registry, spoken to at `at`, may not name this address as its token server; undefined when it may. One that is
   * asked without a secret of ours may be at an http: address: what it gives goes to the registry alone.
   */
  refuseRealm(registry: string, at: URL, realm: URL, sendsSecret: boolean): string | undefined;
}

/** Names under which clouds serve the credentials of the machine. */
const metadataHosts =
  /^(metadata|instance-data|metadata\.google\.internal|metadata\.goog|instance-data\.[\w.-]+\.internal)\.?$/i;
/** Such services outside of the link-local range: Amazon's IPv6, Alibaba's, Oracle's. */
const metadataAddresses: ReadonlySet<string> = new Set(["fd00:ec2::254", "100.100.100.200", "192.0.0.192"]);

/** The rules for a run, by the registries named on the command line as insecure (`host` or `host:port`, or its URL). */
export function createHosts(insecureRegistries: readonly string[]): Hosts {
  const insecure = new Set(insecureRegistries.map(hostOf).filter((name) => name !== ""));
  const insecureUrls = new Set(
    [...insecure].flatMap((name) => ["https", "http"].map((scheme) => originOf(`${scheme}://${name}`))),
  );
  const isInsecure = (url: URL) => insecureUrls.has(url.origin);
  const mayBePlain = (registry: string) => insecure.has(registry.toLowerCase()) || isLocal(registry);

  function refuse(registry: string, to: URL): string | undefined {
    if (to.protocol !== "https:" && to.protocol !== "http:") return `it is not a web address (${to.protocol})`;
    const host = bareHost(to);
    if (isMetadataService(host)) return "it is the address of a machine's own metadata service";
    const trusted = isInsecure(to) || mayBePlain(registry);
    if (!trusted && isInternal(host)) return "it is an internal address, where a public registry may not lead";
    return undefined;
  }
  return {
    schemes: (registry) => (mayBePlain(registry) ? ["https", "http"] : ["https"]),
    verifies: (url) => !isInsecure(url),
    similarInsecure(host) {
      if (insecure.has(host.toLowerCase())) return undefined;
      return [...insecure].find((name) => withoutPort(name) === withoutPort(host.toLowerCase()));
    },
    refuseRedirect(registry, from, to) {
      const downgrade = from.protocol === "https:" && to.protocol === "http:" && !isInsecure(to);
      return refuse(registry, to) ?? (downgrade ? "it leads from https to plain http" : undefined);
    },
    refuseRealm(registry, at, realm, sendsSecret) {
      if (realm.username !== "" || realm.password !== "") return "it has a user name in it";
      const refused = refuse(registry, realm);
      if (refused !== undefined || realm.protocol === "https:" || !sendsSecret) return refused;
      if (isInsecure(realm) || (at.protocol === "http:" && mayBePlain(registry))) return undefined;
      return `credentials are sent over https only; if it has no https, pass -insecure-registry ${realm.host}`;
    },
  };
}

/** What somebody named as a registry: perhaps by a URL. */
function hostOf(name: string): string {
  return name
    .trim()
    .toLowerCase()
    .replace(/^https?:\/\//, "")
    .replace(/\/+$/, "");
}

function withoutPort(host: string): string {
  return host.replace(/:\d+$/, "");
}

function originOf(text: string): string {
  return URL.canParse(text) ? new URL(text).origin : "";
}

/** Registries on this machine or in a private network, which may speak plain http as they do to Docker. */
function isLocal(registry: string): boolean {
  const host = withoutPort(registry.toLowerCase());
  if (host === "localhost" || host.endsWith(".localhost") || host === "127.0.0.1" || host === "[::1]") return true;
  return isIP(host) === 4 && isPrivate(host);
}

/** RFC 1918. */
function isPrivate(ipv4: string): boolean {
  return /^(10\.|192\.168\.|172\.(1[6-9]|2\d|3[01])\.)/.test(ipv4);
}

/** A URL's host without brackets; an IPv4 address in IPv6 clothes as IPv4. */
function bareHost(url: URL): string {
  const host = url.hostname.replace(/^\[|\]$/g, "").toLowerCase();
  const mapped = /^::(?:ffff:)?([0-9a-f]{1,4}):([0-9a-f]{1,4})$/.exec(host);
  if (mapped === null) return host;
  const [high, low] = [mapped[1], mapped[2]].map((part) => Number.parseInt(part ?? "0", 16));
  return [(high ?? 0) >> 8, (high ?? 0) & 255, (low ?? 0) >> 8, (low ?? 0) & 255].join(".");
}

function isMetadataService(host: string): boolean {
  if (metadataHosts.test(host) || metadataAddresses.has(host)) return true;
  return isIP(host) === 4 ? host.startsWith("169.254.") : isIP(host) === 6 && /^fe[89ab]/.test(host);
}

/** Addresses of this machine or a private network, as numbers: names are for the network to guard. */
function isInternal(host: string): boolean {
  if (host === "localhost" || host.endsWith(".localhost")) return true;
  if (isIP(host) === 4) return isPrivate(host) || /^(127|0)\./.test(host);
  return isIP(host) === 6 && (host === "::1" || host === "::" || /^f[cd]/.test(host));
}
