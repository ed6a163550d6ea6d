import { expect, test } from "bun:test";
import { closeSync, openSync, readFileSync } from "node:fs";
import { Directory } from "../../lib/disk/directory.ts";
import { packLayer } from "../../lib/pack/pack-layer.ts";
import { layers } from "../layers/reference-build.ts";
import { diffId } from "../support/cache-fixture.ts";
import { tempDir } from "../support/harness.ts";

/**
 * The digests of what follows the directories above a layer, in the archives that the reference's exporter (0.21.0) made of these
 * layers in /tmp/fixed/layers, as user and group 1000.
 */
const exported: Readonly<Record<string, string>> = {
  deps: "sha256:97810c4722cae611a7cdd45bccf581d7d5a25cdf8314018839deaaedb9435307",
  both: "sha256:46df18efbc546b0ba7dd72d1e78251c24394159b4690742586a2b92fc9d72e63",
  empty: "sha256:9769fd529f2146ca8e043c5337498a5c2d270850276db3cb673d4dc3e085204d",
  "read-only": "sha256:b0a3a02ee1984cb0b99736df79cd9ee9d273d6ea57cb1491ab6ce8368c8f1470",
};
/** Two, whose owners are whoever runs this. */
const bytesAbove = 2 * 512;

test.each(layers.map((layer) => [layer.name, layer] as const))(
  "%s is packed as the reference's exporter did it",
  async (name, { buildpack, tree }) => {
    const place = `${buildpack.replaceAll("/", "_")}/${name}`;
    using dir = tempDir("exported", { layers: { [place]: tree } });
    using open = Directory.open(dir.join("layers"));
    const fd = openSync(dir.join("blob"), "wx");
    const { signal } = new AbortController();
    const job = { layers: open, path: place, prefix: "/tmp/fixed/layers", above: [], uid: 1000, gid: 1000, fd, signal };
    await packLayer(job).finally(() => closeSync(fd));
    expect(diffId(readFileSync(dir.join("blob")).subarray(bytesAbove))).toBe(exported[name] ?? "");
  },
);
