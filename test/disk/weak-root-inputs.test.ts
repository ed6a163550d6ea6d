import { describe, expect } from "bun:test";
import { chmodSync, chownSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { analyzedToml, groupToml } from "../support/cache-fixture.ts";
import { certificates } from "../support/certificates.ts";
import { type FaultRegistryOptions, startFaultRegistry } from "../support/fault-registry.ts";
import { type RunResult, type TempDir, type Tree, tempDir, writeTree } from "../support/harness.ts";
import { layoutTree } from "../support/layout-fixture.ts";
import { give, lock, restoreWeakly, uid, weakly } from "../support/weak-root.ts";

const login = "builder:s3cret";
const auths = (host: string) => JSON.stringify({ auths: { [host]: { auth: Buffer.from(login).toString("base64") } } });

/** A scene whose `files` only the user may enter and read. */
function scene(files: Tree, analyzed = analyzedToml()): TempDir {
  const dir = tempDir("weak-inputs", { files });
  writeTree(dir.path, { layers: { "group.toml": groupToml([{ id: "bp" }]), "analyzed.toml": analyzed } });
  for (const place of ["layers", "files"]) give(dir.join(place));
  lock(dir.join("files"));
  return dir;
}

function restore(dir: TempDir, args: readonly string[], env = {}): Promise<RunResult> {
  return restoreWeakly(dir, args, { HOME: dir.path, ...env });
}

describe("root that mode bits hold for reads as the user, to ask a registry for a cache image,", () => {
  const tls = {
    cert: readFileSync(certificates.server.cert, "utf8"),
    key: readFileSync(certificates.server.key, "utf8"),
  };
  const authority = readFileSync(certificates.authority, "utf8");
  const kinds: readonly (readonly [
    what: string,
    options: FaultRegistryOptions,
    files: (host: string) => Tree,
    env: (dir: TempDir) => Record<string, string>,
  ])[] = [
    ["SSL_CERT_FILE", { tls }, () => ({ "a.pem": authority }), (dir) => ({ SSL_CERT_FILE: dir.join("files/a.pem") })],
    [
      "the files in SSL_CERT_DIR",
      { tls },
      () => ({ "a.pem": authority }),
      (dir) => ({ SSL_CERT_DIR: dir.join("files") }),
    ],
    [
      "CNB_REGISTRY_AUTH_FILE",
      { auth: { kind: "basic", user: login } },
      (host) => ({ auth: auths(host) }),
      (dir) => ({ CNB_REGISTRY_AUTH_FILE: dir.join("files/auth") }),
    ],
    [
      "DOCKER_CONFIG/config.json",
      { auth: { kind: "basic", user: login } },
      (host) => ({ "config.json": auths(host) }),
      (dir) => ({ DOCKER_CONFIG: dir.join("files") }),
    ],
    [
      "the docker configuration in HOME",
      { auth: { kind: "basic", user: login } },
      (host) => ({ ".docker/config.json": auths(host) }),
      (dir) => ({ HOME: dir.join("files") }),
    ],
  ];
  for (const [what, options, files, env] of kinds) {
    weakly(what, async () => {
      await using registry = await startFaultRegistry(options);
      using dir = scene(files(registry.host));
      // Who is trusted, and may look, is told that there is no such image.
      const image = ["-cache-image", `${registry.host}/cache`];
      const { exitCode, stdout, stderr } = await restore(dir, image, env(dir));
      expect({ exitCode, stderr }).toEqual({ exitCode: 0, stderr: "" });
      expect(stdout).toContain("Layer cache not found");
      const without = await restore(dir, image);
      expect(without.stderr).toContain("Not using the cache");
    });
  }

  weakly("and runs a credential helper that only the user may enter, as the user", async () => {
    await using registry = await startFaultRegistry({ auth: { kind: "basic", user: login } });
    const answer = JSON.stringify({ Username: "builder", Secret: "s3cret" });
    const helper = `#!/bin/sh\nid -u >"$TMPDIR/who"\necho '${answer}'\n`;
    using dir = scene({ "docker-credential-mine": helper });
    chmodSync(dir.join("files/docker-credential-mine"), 0o700);
    mkdirSync(dir.join(".docker"));
    writeFileSync(dir.join(".docker/config.json"), JSON.stringify({ credsStore: "mine" }));
    mkdirSync(dir.join("tmp"), { mode: 0o777 });
    chmodSync(dir.join("tmp"), 0o777);
    const env = { PATH: `${dir.join("files")}:${process.env["PATH"]}`, TMPDIR: dir.join("tmp") };
    const { exitCode, stdout, stderr } = await restore(dir, ["-cache-image", `${registry.host}/cache`], env);
    expect({ exitCode, stderr }).toEqual({ exitCode: 0, stderr: "" });
    expect(stdout).toContain("Layer cache not found");
    expect(readFileSync(dir.join("tmp/who"), "utf8")).toBe(`${uid}\n`);
  });

  weakly("and says where DOCKER_CONFIG misses its mark", async () => {
    await using registry = await startFaultRegistry();
    using dir = scene({ ".dockerconfigjson": "{}" });
    const image = ["-cache-image", `${registry.host}/cache`];
    const { stderr } = await restore(dir, image, { DOCKER_CONFIG: dir.join("files") });
    expect(stderr).toContain(`set CNB_REGISTRY_AUTH_FILE to "${dir.join("files/.dockerconfigjson")}"`);
  });
});

describe("root that mode bits hold for reads as the user", () => {
  const image = "host.test/run";
  const runImage = { image, reference: image };

  weakly("images below -layout-dir", async () => {
    using dir = scene(layoutTree(image), analyzedToml({ runImage }));
    const { exitCode, stderr } = await restore(dir, ["-layout", "-layout-dir", dir.join("files")]);
    expect({ exitCode, stderr }).toEqual({
      exitCode: 0,
      stderr: expect.stringMatching(/^Warning: No cached data[^\n]*\n$/),
    });
    expect(readFileSync(dir.join("layers/analyzed.toml"), "utf8")).toContain('id = "base"');
  });

  weakly("a run.toml, wrong or right", async () => {
    using dir = scene({ "run.toml": "images = 1\n" }, analyzedToml({ runImage }));
    const { exitCode, stderr } = await restore(dir, ["-run", dir.join("files/run.toml")]);
    expect({ exitCode, stderr }).toEqual({ exitCode: 1, stderr: expect.stringContaining("run.toml") });
    expect(stderr).not.toContain("permission denied");
  });
});

describe("a layers directory that neither root nor the user may reach", () => {
  weakly("ends the run, and says so", async () => {
    using dir = scene({});
    mkdirSync(dir.join("others/layers"), { recursive: true });
    chownSync(dir.join("others/layers"), uid + 1, uid + 1);
    chownSync(dir.join("others"), uid + 1, uid + 1);
    chmodSync(dir.join("others"), 0o700);
    const inputs = ["group", "analyzed"].flatMap((name) => [`-${name}`, dir.join("layers", `${name}.toml`)]);
    const { exitCode, stderr } = await restore(dir, [...inputs, "-layers", dir.join("others/layers")]);
    expect({ exitCode, stderr }).toEqual({ exitCode: 42, stderr: expect.stringContaining("permission denied") });
    expect(stderr).toContain(dir.join("others/layers"));
  });
});
