import { describe, expect, test } from "bun:test";
import { rmSync, truncateSync } from "node:fs";
import { join } from "node:path";
import { blobOf, cacheImage, labelOf, manifestOf, tars } from "../support/cache-faults.ts";
import { groupToml } from "../support/cache-fixture.ts";
import { type Fault, startFaultRegistry } from "../support/fault-registry.ts";
import { runRestorer, type Tree, tempDir } from "../support/harness.ts";
import { data, desk } from "./run.ts";

/** What is wrong with the blob of the first layer, in each kind of cache; what is undefined cannot be there. */
interface Fate {
  readonly what: string;
  readonly code: string;
  /** Exit code of a command that wants the layer. */
  readonly exit: number;
  readonly file: (path: string) => void;
  readonly answer: Fault;
}

const fates: readonly Fate[] = [
  {
    what: "missing",
    code: "blob-unavailable",
    exit: 1,
    file: (path) => rmSync(path),
    answer: { kind: "status", status: 404 },
  },
  {
    what: "cut off",
    code: "blob-unusable",
    exit: 42,
    file: (path) => truncateSync(path, 1000),
    answer: { kind: "short" },
  },
];

const image = cacheImage();
const [{ digest } = { digest: "" }] = manifestOf(image).layers;

/** The same cache as a directory and as an OCI layout. */
function trees(): Tree {
  const hex = (sha: string) => sha.slice("sha256:".length);
  const [one, two] = tars.map((tar) => new Bun.CryptoHasher("sha256").update(tar).digest("hex"));
  const index = {
    schemaVersion: 2,
    manifests: [{ mediaType: image.mediaType, digest: image.digest, size: image.bytes.length }],
  };
  return {
    "group.toml": groupToml([{ id: "bp" }]),
    volume: { committed: { ...labelOf(), [`sha256:${one}.tar`]: tars[0] ?? "", [`sha256:${two}.tar`]: tars[1] ?? "" } },
    layout: {
      "oci-layout": '{"imageLayoutVersion":"1.0.0"}',
      "index.json": JSON.stringify(index),
      blobs: {
        sha256: Object.fromEntries(
          [[image.digest, image.bytes] as const, ...image.blobs].map(([sha, bytes]) => [hex(sha), bytes]),
        ),
      },
    },
  };
}

describe.each(fates.map((fate) => [fate.what, fate] as const))("a blob that is %s has one code,", (_, fate) => {
  const kinds = ["directory", "layout", "image"] as const;

  test.each(kinds)("in a restore, its report and every command, in a cache that is a %s", async (kind) => {
    using dir = tempDir("fates", trees());
    await using registry = await startFaultRegistry({ rules: [{ path: blobOf(image), fault: fate.answer }] });
    registry.push("cache", "latest", image);
    const sha = `sha256:${new Bun.CryptoHasher("sha256").update(tars[0] ?? "").digest("hex")}`;
    const places = {
      directory: dir.join("volume"),
      layout: `oci:${dir.join("layout")}`,
      image: `${registry.host}/cache`,
    };
    if (kind === "directory") fate.file(dir.join(`volume/committed/${sha}.tar`));
    if (kind === "layout") fate.file(join(dir.join("layout/blobs/sha256"), digest.slice(7)));
    const { code, exit: exitCode } = fate;
    const cache = places[kind];
    const args = ["-layers", dir.path, kind === "directory" ? "-cache-dir" : "-cache-image", cache];
    // How long it should be nobody knows of a blob in a directory.
    const isSeen = kind !== "directory" || code === "blob-unavailable";
    const { found } = await data("explain", ...args);
    expect(found.layers).toMatchObject([isSeen ? { action: "refuse", code } : { code: "cached" }, { code: "cached" }]);
    expect(await data("verify", cache)).toMatchObject({
      exitCode: 42,
      found: { layers: [{ code }, { code: "sound" }] },
    });
    expect(await data("inspect", cache, "one")).toMatchObject({ exitCode, found: { error: { code } } });
    expect((await desk("inspect", cache, "one", "data")).exitCode).toBe(exitCode);
    const report = JSON.parse((await runRestorer([...args, "-report", "-"])).stdout);
    expect(report.layers).toMatchObject([{ outcome: "refused", code }, { outcome: "restored" }]);
    if (isSeen) expect(found.layers[0].reason).toBe(report.layers[0].reason);
  });
});

test("a blob that a registry refuses is not available", async () => {
  const fault: Fault = { kind: "status", status: 403 };
  await using registry = await startFaultRegistry({ rules: [{ path: blobOf(image), fault }] });
  registry.push("cache", "latest", image);
  const { found } = await data("verify", `${registry.host}/cache`, "one");
  expect(found.layers).toMatchObject([{ code: "blob-unavailable" }]);
});
