import { describe, expect, test } from "bun:test";
import { mkdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { groupToml, metadataName } from "../support/cache-fixture.ts";
import { writeTree } from "../support/harness.ts";
import { layoutTree } from "../support/layout-fixture.ts";
import { tarOf } from "../support/raw-tar.ts";
import { expectPlain, type Scene, scene } from "./scene.ts";

/** What is not a file, and must make nobody wait. */
const oddities: Readonly<Record<string, (path: string) => void>> = {
  "a fifo": (path) => void Bun.spawnSync(["mkfifo", path]),
  "an endless device": (path) => symlinkSync("/dev/zero", path),
  "a terminal": (path) => symlinkSync("/dev/ptmx", path),
  "a directory": (path) => mkdirSync(path),
  "a socket": (path) => void Bun.listen({ unix: path, socket: { data() {} } }).unref(),
  "a link to itself": (path) => symlinkSync(path, path),
};

/** A file that a run opens: where it is, how the run is told of it, and with which exit codes it may end. */
interface Input {
  readonly path: (made: Scene) => string;
  readonly env?: string;
  readonly args?: (path: string, made: Scene) => string[];
  /** What analyzed.toml says. */
  readonly analyzed?: string;
  readonly exitCodes: readonly number[];
}

/** A file of an OCI layout that the run looks into for the run image. */
function inLayout(path: (layout: string) => string): Input {
  return {
    path: ({ dir }) => {
      writeTree(dir.path, { layouts: layoutTree("host.test/run") });
      return path(dir.join("layouts", "host.test/run", "latest"));
    },
    args: (_, { dir }) => ["-layout", "-layout-dir", dir.join("layouts")],
    analyzed: '[run-image]\nreference = "host.test/run"\n',
    exitCodes: [1],
  };
}

/** The manifest of the image in a layout. */
function manifestOf(layout: string): string {
  const { manifests } = JSON.parse(readFileSync(join(layout, "index.json"), "utf8")) as {
    manifests: { digest: string }[];
  };
  return join(layout, "blobs", ...(manifests[0]?.digest.split(":") ?? []));
}

const inputs: Readonly<Record<string, Input>> = {
  "group.toml": { path: ({ layers }) => join(layers, "group.toml"), exitCodes: [1] },
  "analyzed.toml": { path: ({ layers }) => join(layers, "analyzed.toml"), exitCodes: [0] },
  "run.toml": { path: ({ dir }) => dir.join("run.toml"), args: (path) => ["-run", path], exitCodes: [1] },
  "the cache's metadata": { path: ({ cache }) => join(cache.committed, metadataName), exitCodes: [0] },
  "a blob of the cache": { path: ({ cache }) => cache.blob("bp", "deps"), exitCodes: [0] },
  "the cache directory": { path: ({ dir }) => dir.join("other"), args: (path) => ["-cache-dir", path], exitCodes: [0] },
  CNB_REGISTRY_AUTH_FILE: { path: ({ dir }) => dir.join("auth.json"), env: "CNB_REGISTRY_AUTH_FILE", exitCodes: [1] },
  "docker's config.json": { path: ({ dir }) => dir.join("config.json"), env: "DOCKER_CONFIG", exitCodes: [0] },
  "podman's auth.json": { path: ({ dir }) => dir.join("auth.json"), env: "REGISTRY_AUTH_FILE", exitCodes: [0] },
  "the SBOM layer of the cache": { path: ({ cache }) => join(cache.committed, `${cache.sbomSha}.tar`), exitCodes: [0] },
  "an SBOM file of the layers directory": {
    path: ({ layers }) => {
      mkdirSync(join(layers, "sbom/cache/bp/deps"), { recursive: true });
      return join(layers, "sbom/cache/bp/deps/sbom.cdx.json");
    },
    exitCodes: [0],
  },
  "the SBOM directory of the layers directory": { path: ({ layers }) => join(layers, "sbom"), exitCodes: [0] },
  "the directory of a buildpack": { path: ({ layers }) => join(layers, "bp"), exitCodes: [0, 42] },
  "the layers directory": {
    path: ({ dir }) => dir.join("odd"),
    args: (path, { layers }) => ["-layers", path, "-group", join(layers, "group.toml")],
    exitCodes: [0, 42],
  },
  "the index of an OCI layout": inLayout((layout) => join(layout, "index.json")),
  "a manifest of an OCI layout": inLayout(manifestOf),
  SSL_CERT_FILE: { path: ({ dir }) => dir.join("ca.pem"), env: "SSL_CERT_FILE", exitCodes: [0] },
  NODE_EXTRA_CA_CERTS: { path: ({ dir }) => dir.join("ca.pem"), env: "NODE_EXTRA_CA_CERTS", exitCodes: [0] },
  "a file of SSL_CERT_DIR": { path: ({ dir }) => dir.join("ca.pem"), env: "SSL_CERT_DIR", exitCodes: [0] },
};

function sceneWith(analyzed: string): Scene {
  const extensions = analyzed === "" ? [] : [{ id: "ext" }];
  const made = scene({ group: groupToml([{ id: "bp" }], extensions), sbom: { tar: tarOf([]) } });
  writeFileSync(join(made.layers, "analyzed.toml"), analyzed);
  return made;
}

describe("what is not a file where a file belongs makes no run wait:", () => {
  for (const [what, { path: pathOf, env, args, analyzed = "", exitCodes }] of Object.entries(inputs)) {
    test(what, async () => {
      for (const [oddity, plant] of Object.entries(oddities)) {
        using made = sceneWith(analyzed);
        const path = pathOf(made);
        rmSync(path, { recursive: true, force: true });
        plant(path);
        const value = env === "SSL_CERT_DIR" || env === "DOCKER_CONFIG" ? made.dir.path : path;
        // With credentials of its own a run opens all sources of credentials, though it asks no registry.
        const variables = env === undefined ? {} : { CNB_REGISTRY_AUTH: "{}", [env]: value };
        const { exitCode, signal, stdout, stderr } = await made.run(args?.(path, made), { env: variables });
        expect({ oddity, signal }).toEqual({ oddity, signal: null });
        expect(exitCodes, `${oddity}: ${stderr}`).toContain(exitCode ?? -1);
        expectPlain({ stdout, stderr });
      }
    });
  }

  test("DOCKER_HOST", async () => {
    for (const [oddity, plant] of Object.entries(oddities).filter(([name]) => name !== "a socket")) {
      using made = scene({ group: groupToml([{ id: "bp" }], [{ id: "ext" }]) });
      writeFileSync(join(made.layers, "analyzed.toml"), '[run-image]\nreference = "a/b"\n');
      const path = made.dir.join("docker.sock");
      plant(path);
      const { exitCode, stderr } = await made.run(["-daemon"], { env: { DOCKER_HOST: `unix://${path}` } });
      expect({ oddity, exitCode }).toEqual({ oddity, exitCode: 1 });
      expect(stderr).toContain("cannot ask the daemon");
    }
  });
});
