import { expect, describe as group } from "bun:test";
import { mkdirSync, writeFileSync } from "node:fs";
import { all, cacheImage, expectWarm, neededBlobs, restore, shareRegistry } from "../support/cache-image-fixture.ts";
import { push, run, withRegistry, withSkopeo, withUmoci } from "../support/docker-registry.ts";
import { testImage, testIndex } from "../support/fault-registry.ts";
import { type TempDir, tempDir } from "../support/harness.ts";

shareRegistry();

group("a cache image", () => {
  const formats: [format: "oci" | "docker", compression: "gzip" | "zstd" | "none"][] = [
    ["oci", "gzip"],
    ["oci", "zstd"],
    ["oci", "none"],
    ["docker", "gzip"],
    ["docker", "none"],
  ];
  for (const [format, compression] of formats) {
    const what = compression === "none" ? "uncompressed" : compression;
    withRegistry(`with ${format} media types and ${what} layers costs one request for each thing needed`, async () => {
      const { open } = all();
      const image = cacheImage({ format, compression });
      const repository = `${format}-${compression}`;
      await push(open, repository, "v1", image);
      expectWarm(await restore(`${open.host}/${repository}:v1`));
      const config = (JSON.parse(Buffer.from(image.bytes).toString()) as { config: { digest: string } }).config.digest;
      const wanted = ["200 manifests/v1", ...[config, ...neededBlobs(image)].map((digest) => `200 blobs/${digest}`)];
      expect(await open.answers(repository, wanted.length)).toEqual(wanted.sort());
    });
  }

  withRegistry("is found by tag, by digest and by both, the digest being what counts", async () => {
    const { open } = all();
    const image = cacheImage();
    await push(open, "named", "latest", image);
    await push(open, "named", "other", testImage());
    for (const name of ["named", "named:latest", `named@${image.digest}`, `named:other@${image.digest}`]) {
      expectWarm(await restore(`${open.host}/${name}`));
    }
  });

  withRegistry("in an index costs one request more", async () => {
    const { open } = all();
    const image = cacheImage();
    const index = testIndex([
      { image: testImage({ architecture: "none" }), platform: { os: "windows", architecture: "amd64" } },
      { image, platform: { os: "linux", architecture: "amd64" } },
    ]);
    await push(open, "indexed", "latest", index);
    expectWarm(await restore(`${open.host}/indexed`));
    const answers = await open.answers("indexed", 3 + neededBlobs(image).length);
    expect(answers.filter((line) => line.includes("manifests"))).toEqual(
      [`200 manifests/${image.digest}`, "200 manifests/latest"].sort(),
    );
    expect(answers).toHaveLength(3 + neededBlobs(image).length);
  });

  withRegistry("that holds nothing new costs no request for a layer", async () => {
    const { open } = all();
    await push(open, "empty", "latest", testImage());
    const { after, ...result } = await restore(`${open.host}/empty`);
    expect(result).toMatchObject({ exitCode: 0, stderr: "" });
    expect([...after.keys()]).toEqual(["analyzed.toml", "group.toml"]);
    expect(await open.answers("empty", 2)).toHaveLength(2);
  });

  withRegistry("that is not there yet is a first build", async () => {
    const { open } = all();
    await push(open, "begun", "other", testImage());
    for (const name of ["begun:v1", "never/begun"]) {
      const first = await restore(`${open.host}/${name}`);
      expect(first).toMatchObject({ exitCode: 0, stderr: "" });
      expect(first.stdout).toContain("Layer cache not found: cache image");
      expect([...first.after.keys()]).toEqual(["analyzed.toml", "group.toml"]);
    }
  });

  /** The cache image as an OCI layout, uncompressed; its path for skopeo. */
  function layoutIn(dir: TempDir): string {
    const { bytes, mediaType, digest, blobs } = cacheImage({ compression: "none" });
    mkdirSync(dir.join("layout", "blobs", "sha256"), { recursive: true });
    for (const [name, content] of [...blobs, [digest, bytes] as const]) {
      writeFileSync(dir.join("layout", "blobs", name.replace(":", "/")), content);
    }
    writeFileSync(dir.join("layout", "oci-layout"), '{"imageLayoutVersion":"1.0.0"}');
    const annotations = { "org.opencontainers.image.ref.name": "v1" };
    const manifests = [{ mediaType, digest, size: bytes.length, annotations }];
    writeFileSync(dir.join("layout", "index.json"), JSON.stringify({ schemaVersion: 2, manifests }));
    return dir.join("layout");
  }
  const skopeo = (...args: string[]) => run("skopeo", "copy", "--quiet", "--dest-tls-verify=false", ...args);

  const conversions: [what: string, ...options: string[]][] = [
    ["gzip", "--dest-compress-format=gzip"],
    ["zstd", "--dest-compress-format=zstd"],
    ["as-it-is", "--preserve-digests"],
    ["docker", "--format=v2s2"],
  ];
  for (const [what, ...options] of conversions) {
    withSkopeo(`pushed by skopeo (${what}) comes back whole`, async () => {
      using dir = tempDir("skopeo");
      const { open, needed } = all();
      skopeo(...options, `oci:${layoutIn(dir)}:v1`, `docker://${open.host}/skopeo-${what}`);
      expectWarm(await restore(`${open.host}/skopeo-${what}`));
      expect(await open.answers(`skopeo-${what}`, 2 + needed.length)).toHaveLength(2 + needed.length);
    });
  }

  withUmoci("made by umoci comes back whole", async () => {
    using dir = tempDir("umoci");
    const { open, layers, labels } = all();
    const image = `${dir.join("layout")}:v1`;
    run("umoci", "init", "--layout", dir.join("layout"));
    run("umoci", "new", "--image", image);
    for (const [i, layer] of layers.entries()) {
      writeFileSync(dir.join(`${i}.tar`), layer);
      run("umoci", "raw", "add-layer", "--image", image, dir.join(`${i}.tar`));
    }
    for (const [name, value] of Object.entries(labels)) {
      run("umoci", "config", "--image", image, "--config.label", `${name}=${value}`);
    }
    skopeo(`oci:${image}`, `docker://${open.host}/umoci`);
    expectWarm(await restore(`${open.host}/umoci`));
  });
});
