import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { cpSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { layoutOf } from "../../build/oci-image.ts";
import { type Machine, release } from "../../build/pins.ts";
import { builtWithGlibc, runsAnywhere } from "../support/bare-root.ts";
import { run, startRegistry } from "../support/docker-registry.ts";
import {
  differences,
  have,
  isRoot,
  restorerPath,
  runRestorer,
  skipUnless,
  snapshot,
  type TempDir,
  tempDir,
  writeTree,
} from "../support/harness.ts";
import { plantingScene } from "../support/planting-scene.ts";

const here: Machine = process.arch === "arm64" ? "arm64" : "x64";
const other: Machine = here === "x64" ? "arm64" : "x64";
const goName = (machine: Machine) => (machine === "x64" ? "amd64" : "arm64");

describe("the image of a release", () => {
  let dir: TempDir;
  beforeAll(() => {
    dir = tempDir("image");
    // One executable of the real size is enough: it takes seconds to compress.
    const executables = [
      [here, readFileSync(restorerPath())] as const,
      [other, Buffer.from("not of this machine")] as const,
    ];
    const layout = layoutOf(new Map(executables), "0123abc");
    writeTree(dir.path, { layout: { blobs: { sha256: {} } } });
    for (const [path, bytes] of layout) writeTree(dir.path, { [`layout/${path}`]: Buffer.from(bytes) });
  });
  afterAll(() => dir[Symbol.dispose]());

  const blob = (digest: string) => readFileSync(dir.join("layout/blobs/sha256", digest.replace("sha256:", "")));
  const json = (digest: string) => JSON.parse(blob(digest).toString());
  const index = () => json(JSON.parse(readFileSync(dir.join("layout/index.json"), "utf8")).manifests[0].digest);

  test("is one index of two machines, with labels", () => {
    const platforms = index().manifests.map(({ platform }: { platform: object }) => platform);
    expect(platforms).toEqual([here, other].map((machine) => ({ architecture: goName(machine), os: "linux" })));
    for (const { digest } of index().manifests) {
      const config = json(json(digest).config.digest);
      expect(config.config.Entrypoint).toEqual(["/cnb/lifecycle/restorer"]);
      expect(config.config.Labels).toMatchObject({
        "org.opencontainers.image.version": release.version,
        "org.opencontainers.image.revision": "0123abc",
        "org.opencontainers.image.licenses": expect.stringContaining("LGPL-2.1-or-later"),
      });
    }
  });

  skipUnless(have("tar"), "tar")("has a layer with nothing but the executable, and one with what tells of it", () => {
    const { layers } = json(index().manifests[1].digest);
    const lists = layers.map(({ digest }: { digest: string }) => {
      const list = Bun.spawnSync(["tar", "-tzf", "-"], { stdin: blob(digest) });
      return list.stdout.toString().trim().split("\n");
    });
    expect(lists).toEqual([
      ["cnb/", "cnb/lifecycle/", "cnb/lifecycle/restorer"],
      [
        ...["cnb/", "cnb/lifecycle/", "cnb/lifecycle/restorer.sbom.cdx.json"],
        ...["usr/", "usr/share/", "usr/share/doc/", "usr/share/doc/restorer/"],
        ...["LICENSE", "NOTICES.txt", "LGPL-2.1.txt", "glibc-copyright.txt"].map(
          (name) => `usr/share/doc/restorer/${name}`,
        ),
      ],
    ]);
  });

  const tools = ["docker-registry", "skopeo", "umoci", "bwrap"];
  const canRun = runsAnywhere && isRoot && tools.every(have);
  skipUnless(canRun, [builtWithGlibc, "root", ...tools].join(", "))(
    "is copied to a registry by skopeo, pulled, unpacked, and run",
    async () => {
      await using registry = await startRegistry(dir, "registry");
      const [image, plain] = [`docker://${registry.host}/restorer:1`, ["--dest-tls-verify=false"]];
      run("skopeo", "copy", "--all", ...plain, `oci:${dir.join("layout")}:${release.version}`, image);
      const manifest = run("skopeo", "inspect", "--raw", "--tls-verify=false", image);
      expect(JSON.parse(manifest)).toEqual(index());

      run("skopeo", "copy", "--src-tls-verify=false", image, `oci:${dir.join("pulled")}:1`);
      run("umoci", "unpack", "--image", `${dir.join("pulled")}:1`, dir.join("bundle"));
      const root = dir.join("bundle/rootfs");
      expect(readdirSync(join(root, "cnb/lifecycle")).sort()).toEqual(["restorer", "restorer.sbom.cdx.json"]);
      using scene = plantingScene();
      writeTree(root, { proc: {}, dev: {} });
      for (const part of ["layers", "cache"]) cpSync(scene.join(part), join(root, part), { recursive: true });
      const around = ["bwrap", "--bind", root, "/", "--proc", "/proc", "--dev", "/dev", "--cap-add", "ALL"];
      const command = [...around, "/cnb/lifecycle/restorer"];
      const { exitCode, stderr } = await runRestorer(["-layers", "/layers", "-cache-dir", "/cache"], { command });
      expect({ exitCode, stderr }).toEqual({ exitCode: 0, stderr: "" });
      const [restored, original] = [snapshot(join(root, "layers/example_app/dist")), snapshot(scene.join("tree"))];
      expect(differences(restored, original, { ignore: ["uid", "gid"] })).toEqual([]);
    },
  );
});
