import { expect, test } from "bun:test";
import { utimesSync, writeFileSync } from "node:fs";
import { Directory } from "../../lib/disk/directory.ts";
import { LayerFiles } from "../../lib/layers/layer-files.ts";
import { tempDir } from "../support/harness.ts";

const standing = {
  "a.toml": "",
  "a.sha": "",
  "a.sbom.cdx.json": "",
  "a.sbom.spdx.json": "",
  "a.b.sbom.cdx.json": "",
  "b.sbom.cdx.json": { "a directory": "" },
  "sbom.cdx.json": "",
};

test("SBOM files and .sha files belong to their layers, directories are layers themselves", () => {
  using dir = tempDir("layer-files", standing);
  const directory = Directory.open(dir.path);
  const files = new LayerFiles(directory);
  expect(files.ofLayer("a").toSorted()).toEqual(["a.sbom.cdx.json", "a.sbom.spdx.json", "a.sha"]);
  expect(files.ofLayer("a.b")).toEqual(["a.b.sbom.cdx.json"]);
  expect(files.ofLayer("b")).toEqual([]);
  directory.close();
});

test("what others have put there is seen, and what we put there ourselves", () => {
  using dir = tempDir("layer-files", standing);
  const directory = Directory.open(dir.path);
  const files = new LayerFiles(directory);
  const seen = () => files.changing(() => files.ofLayer("b"));
  expect(seen()).toEqual([]);
  files.changing(() => {
    writeFileSync(dir.join("b.sbom.syft.json"), "");
    files.add("b.sbom.syft.json");
  });
  expect(seen()).toEqual(["b.sbom.syft.json"]);
  writeFileSync(dir.join("b.sha"), "");
  // Clocks of file systems are coarse: this may have been in the same moment as our own change.
  utimesSync(dir.path, 1, 1);
  expect(seen().toSorted()).toEqual(["b.sbom.syft.json", "b.sha"]);
  directory.close();
});
