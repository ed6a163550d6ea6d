import { describe, expect } from "bun:test";
import { cpSync, existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { type BareRoot, inRoot, lastDescendant, rootTest } from "../support/bare-root.ts";
import { blobOf, expectLayers, healthy, names } from "../support/cache-faults.ts";
import { analyzedToml, groupToml } from "../support/cache-fixture.ts";
import { certificates } from "../support/certificates.ts";
import { eventually } from "../support/eventually.ts";
import { type FaultRegistryOptions, startFaultRegistry } from "../support/fault-registry.ts";
import {
  differences,
  file,
  have,
  runRestorer,
  snapshot,
  startRestorer,
  tempDir,
  writeTree,
} from "../support/harness.ts";
import { plantingScene } from "../support/planting-scene.ts";

interface Kind extends BareRoot {
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

const musl = "/lib/ld-musl-x86_64.so.1";
const debian = process.env.DEBIAN_ROOT;
const noexec = "/proc/sys/vm/memfd_noexec";
/** The limit belongs to a namespace of processes, and so to this one alone. */
const strict = ["unshare", "--pid", "--fork", "--kill-child", "sh", "-c", `echo 2 >${noexec} && exec "$@"`, "sh"];
const isStrictPossible = have("unshare") && Bun.spawnSync([...strict, "true"], { stderr: "ignore" }).exitCode === 0;

const kinds: Readonly<Record<string, Kind>> = {
  "with nothing but the executable, /proc and /dev": {},
  "that can only be read but for the layers, and has no /tmp": { isReadOnly: true },
  "with musl, preloaded": {
    copied: [musl],
    env: { LD_PRELOAD: musl },
    needs: [existsSync(musl), "musl (package musl)"],
  },
  "of Debian, slim": {
    base: debian,
    needs: [debian !== undefined, "DEBIAN_ROOT, a directory that debootstrap --variant=minbase made"],
  },
  "for the user 1000": { options: ["--unshare-user", "--uid", "1000", "--gid", "1000"] },
  "for root that becomes another user": { args: ["-uid", "65534", "-gid", "65534"], user: 65534 },
  "where memory files may not be executable (memfd_noexec=2)": {
    around: strict,
    needs: [isStrictPossible, "unshare, and a kernel (6.3) with vm.memfd_noexec"],
  },
};

/** A helper that has a shell of its own: a static one. */
const shell = "/bin/busybox";
const helper = file(`#!${shell} sh\nprintf '{"Username":"builder","Secret":"password"}'\n`, 0o755);
const login = { kind: "basic", user: "builder:password" } as const;

/** A root of a kind, with a layers directory and what else a restore from a registry takes. */
function rootOf(kind: Kind) {
  const root = tempDir("root");
  if (kind.base !== undefined) cpSync(kind.base, root.path, { recursive: true, verbatimSymlinks: true });
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

for (const [name, kind] of Object.entries(kinds)) {
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
        expect({ exitCode, stderr }).toEqual({ exitCode: 0, stderr: "" });
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
      expect(await run.result).toMatchObject({ exitCode: 143, stderr: "Warning: stopped by SIGTERM\n" });
    });
  });
}

describe("what the machine refuses is said in one line, and ends with 127", () => {
  const line = /^ERROR: restorer cannot start: its C library does not fit into a memory file \([^\n]*\)\n$/;

  rootTest()("memory files", async () => {
    using root = tempDir("root");
    // A filter of system calls, struct sock_filter each: load the number; memfd_create? then EPERM; else allowed.
    const call = process.arch === "arm64" ? 279 : 319;
    const program = [
      [0x20, 0, 0, 0],
      [0x15, 0, 1, call],
      [0x06, 0, 0, 0x00050001],
      [0x06, 0, 0, 0x7fff0000],
    ] as const;
    const filter = Buffer.alloc(8 * program.length);
    for (const [index, [code, yes, no, value]] of program.entries()) {
      filter.writeUInt16LE(code, 8 * index);
      filter.writeUInt8(yes, 8 * index + 2);
      filter.writeUInt8(no, 8 * index + 3);
      filter.writeUInt32LE(value, 8 * index + 4);
    }
    writeFileSync(root.join("filter"), filter);
    const command = [
      "sh",
      "-c",
      `exec "$@" 9<'${root.join("filter")}'`,
      "sh",
      ...inRoot(root, { options: ["--seccomp", "9"] }),
    ];
    const { exitCode, stderr } = await runRestorer(["-version"], { command });
    expect({ exitCode, stderr }).toEqual({ exitCode: 127, stderr: expect.stringMatching(line) });
  });

  rootTest()("files of more than 1 MiB", async () => {
    using root = tempDir("root");
    const command = ["sh", "-c", 'ulimit -f 2048; exec "$@"', "sh", ...inRoot(root)];
    const { exitCode, signal, stderr } = await runRestorer(["-version"], { command });
    expect({ exitCode, signal, stderr }).toEqual({ exitCode: 127, signal: null, stderr: expect.stringMatching(line) });
  });

  rootTest()("a root without /proc is told by the loader", async () => {
    using root = tempDir("root");
    const command = inRoot(root, { options: ["--tmpfs", "/proc"] });
    const { exitCode, stderr } = await runRestorer(["-version"], { command });
    expect({ exitCode, stderr }).toEqual({
      exitCode: 127,
      stderr: expect.stringMatching(/^[^\n]*\/proc\/self\/fd\/[^\n]*\n$/),
    });
  });
});
