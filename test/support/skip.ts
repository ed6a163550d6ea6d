import { test } from "bun:test";

/** Whether the tests run as root, and so may drop privileges, chown and mount. */
export const isRoot = process.getuid?.() === 0;

/** Whether a program is on PATH. */
export function have(tool: string): boolean {
  return Bun.which(tool) !== null;
}

/** The Debian package of each program that only some tests need. */
const packages: ReadonlyMap<string, string> = new Map([
  ["bindfs", "bindfs"],
  ["bwrap", "bubblewrap"],
  ["docker-registry", "docker-registry"],
  ["fish", "fish"],
  ["gdb", "gdb"],
  ["htpasswd", "apache2-utils"],
  ["ip", "iproute2"],
  ["podman", "podman"],
  ["prlimit", "util-linux"],
  ["script", "bsdutils"],
  ["setpriv", "util-linux"],
  ["skopeo", "skopeo"],
  ["strace", "strace"],
  ["tar", "tar"],
  ["umoci", "umoci"],
  ["unshare", "util-linux"],
  ["zsh", "zsh"],
]);

type TestFunction = (name: string, run: () => void | Promise<void>, timeoutMs?: number) => void;

/**
 * `test` where the condition holds; elsewhere a skip that names the test and what it lacks on stderr, and the packages
 * of programs that `missing` names and that are not on PATH.
 */
export function skipUnless(condition: boolean, missing: string): TestFunction {
  if (condition) return (name, run, timeoutMs) => test(name, run, timeoutMs);
  return (name, run) => {
    console.error(`SKIPPED, needs ${missing}${packagesOf(missing)}: ${name}`);
    test.skip(name, run);
  };
}

function packagesOf(missing: string): string {
  const words = missing.match(/[a-z0-9-]+/g) ?? [];
  const names = words.filter((word) => !have(word)).flatMap((word) => packages.get(word) ?? []);
  return names.length === 0 ? "" : ` (packages of Debian: ${[...new Set(names)].join(" ")})`;
}
