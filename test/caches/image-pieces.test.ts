import { expect, test } from "bun:test";
import { randomBytes } from "node:crypto";
import { parents } from "../support/cache-faults.ts";
import { analyzedToml, cacheMetadata, groupToml, metadataName } from "../support/cache-fixture.ts";
import { digestOf, type FaultRule, startFaultRegistry, testImage } from "../support/fault-registry.ts";
import { runRestorer, snapshot, tempDir } from "../support/harness.ts";
import { tarOf } from "../support/raw-tar.ts";

/** Nine pieces. */
const archive = tarOf([
  ...parents,
  { name: "/layers/bp/deps", type: "directory" },
  { name: "/layers/bp/deps/data", data: randomBytes(17 * 2 ** 20) },
]);
const label = cacheMetadata([{ id: "bp", layers: [{ name: "deps" }] }], () => digestOf(archive));
const image = testImage({ layers: [archive], labels: { [metadataName]: label }, compression: "none" });
const path = new RegExp(`/blobs/${digestOf(archive)}$`);
const slow: FaultRule = { path, fault: { kind: "slow", bytesPerSecond: 25_000_000 } };

async function restore(rules: readonly FaultRule[]) {
  await using server = await startFaultRegistry({ rules: [...rules, slow] });
  server.push("cache", "latest", image);
  using dir = tempDir("pieces", { "group.toml": groupToml([{ id: "bp" }]), "analyzed.toml": analyzedToml() });
  const result = await runRestorer(["-layers", dir.path, "-cache-image", `${server.host}/cache`]);
  return { ...result, files: [...snapshot(dir.path).keys()].filter((name) => name.startsWith("bp/")) };
}

test("a blob that comes in pieces is restored", async () => {
  expect(await restore([])).toMatchObject({
    exitCode: 0,
    stderr: "",
    files: ["bp/deps", "bp/deps/data", "bp/deps.toml"],
  });
});

test("nothing is left of a layer one piece of which is corrupt", async () => {
  const { exitCode, stderr, files } = await restore([{ path, after: 2, times: 1, fault: { kind: "corrupt" } }]);
  expect({ exitCode, files }).toEqual({ exitCode: 0, files: [] });
  expect(stderr).toContain(digestOf(archive));
});

test("what was tried is told where a blob comes neither in pieces nor in one stream", async () => {
  const parts: FaultRule = { path, range: /./, after: 2, fault: { kind: "status", status: 416 } };
  const { exitCode, stderr, files } = await restore([
    parts,
    { path, after: 2, fault: { kind: "status", status: 403 } },
  ]);
  expect({ exitCode, files }).toEqual({ exitCode: 0, files: [] });
  expect(stderr).toMatch(/403 Forbidden.*, in one stream from byte .* on after it had failed by several connections/);
});
