/** Tests of the executable in roots of many kinds. */
import { describe, expect } from "bun:test";
import { cpSync, existsSync, readdirSync, readFileSync } from "node:fs";
import { type BareRoot, inRoot, lastDescendant, rootTest } from "./bare-root.ts";
import { blobOf, expectLayers, healthy, names } from "./cache-faults.ts";
import { analyzedToml, groupToml } from "./cache-fixture.ts";
import { certificates } from "./certificates.ts";
import { eventually } from "./eventually.ts";
import { type FaultRegistryOptions, startFaultRegistry } from "./fault-registry.ts";
import { differences, file, runRestorer, snapshot, startRestorer, tempDir, writeTree } from "./harness.ts";
import { plantingScene } from "./planting-scene.ts";

export interface RootKind extends BareRoot {
  /** Where what else is in the root comes from: a directory, or single files. */
  readonly copied?: readonly string[];
  readonly base?: string | undefined;
  /** What bwrap is run by. */
  readonly around?: readonly string[];
  readonly args?: readonly string[];
  /** Whom all threads run as in the end, seen from outside. */
  readonly user?: number;
  readonly needs?: readonly [boolean, string];
}

/** A helper that has a shell of its own: a static one. */
const shell = "/bin/busybox";
const helper = file(`#!${shell} sh\nprintf '{"Username":"builder","Secret":"password"}'\n`, 0o755);
const login = { kind: "basic", user: "builder:password" } as const;

/** A root of a kind, with a layers directory and what else a restore from a registry takes. */
function rootOf(kind: RootKind) {
  const root = tempDir("root");
  const { base } = kind;
  // Devices are not copied: bwrap makes its own.
  const filter = (path: string): boolean => !path.startsWith(`${base}/dev/`);
  if (base !== undefined) cpSync(base, root.path, { recursive: true, verbatimSymlinks: true, filter });
  writeTree(root.path, {
    layers: { "group.toml": groupToml([{ id: "bp" }]), "analyzed.toml": analyzedToml() },
    etc: { hosts: "127.0.0.1 localhost registry.test\n", "resolv.conf": "nameserver 127.0.0.1\n" },
    "authority.pem": readFileSync(certificates.authority),
    home: { ".docker": { "config.json": JSON.stringify({ credsStore: "test" }) } },
    helpers: { "docker-credential-test": helper },
  });
  for (const path of [...(kind.copied ?? []), ...(existsSync(shell) ? [shell] : [])])
    cpSync(path, root.join(path), { dereference: true });
  const env = { PATH: "/helpers", SSL_CERT_FILE: "/authority.pem", ...kind.env };
  const command = [...(kind.around ?? []), ...inRoot(root, { ...kind, env })];
  return Object.assign(root, { command, args: ["-layers", "/layers", ...(kind.args ?? [])] });
}

async function registryOf(options: FaultRegistryOptions = {}) {
  const tls = {
    key: readFileSync(certificates.server.key, "utf8"),
    cert: readFileSync(certificates.server.cert, "utf8"),
  };
  const registry = await startFaultRegistry({ tls, ...options });
  registry.push("cache", "latest", healthy);
  return Object.assign(registry, { port: registry.host.split(":")[1] });
}

/** The cache image is one for amd64, which other machines warn about. */
function withoutMachine(stderr: string): string {
  return stderr.replace(
    /^Warning: The cache image \S+ is for the architecture "amd64", not for this machine's[^\n]*\n/,
    "",
  );
}

/** What must work in a root of any kind. */
export function testRoot(name: string, kind: RootKind): void {
  const [fits, needs] = kind.needs ?? [true, ""];
  const withRoot = rootTest(fits, needs);
  const withShell = rootTest(
    fits && existsSync(shell),
    [needs, "busybox (package busybox-static)"].filter(Boolean).join(", "),
  );

  describe(`in a root ${name}`, () => {
    withRoot("a volume is restored", async () => {
      using scene = plantingScene();
      using root = rootOf(kind);
      for (const part of ["layers", "cache"]) cpSync(scene.join(part), root.join(part), { recursive: true });
      const { exitCode, stderr } = await runRestorer([...root.args, "-cache-dir", "/cache"], root);
      expect({ exitCode, stderr }).toEqual({ exitCode: 0, stderr: "" });
      const [restored, original] = [snapshot(root.join("layers/example_app/dist")), snapshot(scene.join("tree"))];
      expect(differences(restored, original, { ignore: ["uid", "gid"] })).toEqual([]);
    });

    withShell("a registry is found by name, asked by https, and given what a credential helper says", async () => {
      await using registry = await registryOf({ auth: login });
      for (const [host, ...how] of [
        [`localhost:${registry.port}`],
        [`registry.test:${registry.port}`, "-insecure-registry", `registry.test:${registry.port}`],
      ]) {
        using root = rootOf(kind);
        const args = [...root.args, "-cache-image", `${host}/cache`, ...how];
        const { exitCode, stderr } = await runRestorer(args, root);
        expect({ exitCode, stderr: withoutMachine(stderr) }).toEqual({ exitCode: 0, stderr: "" });
        expectLayers(snapshot(root.join("layers")), names);
      }
    });

    withShell("SIGTERM ends a run, all of whose threads are the same user's", async () => {
      await using registry = await registryOf({
        rules: [{ path: blobOf(healthy), fault: { kind: "stall", at: 500_000 } }],
        auth: login,
      });
      using root = rootOf(kind);
      const run = startRestorer([...root.args, "-cache-image", `localhost:${registry.port}/cache`], root);
      await eventually("a request", () => registry.requests.find(({ path }) => blobOf(healthy).test(path)));
      const pid = lastDescendant(run.pid);
      const uids = readdirSync(`/proc/${pid}/task`).map((thread) => {
        return /^Uid:\t(\d+)/m.exec(readFileSync(`/proc/${pid}/task/${thread}/status`, "utf8"))?.[1];
      });
      expect(uids.length).toBeGreaterThan(2);
      expect(new Set(uids)).toEqual(new Set([String(kind.user ?? 0)]));
      process.kill(pid, "SIGTERM");
      const { exitCode, stderr } = await run.result;
      expect({ exitCode, stderr: withoutMachine(stderr) }).toEqual({
        exitCode: 143,
        stderr: "Warning: stopped by SIGTERM\n",
      });
    });
  });
}
