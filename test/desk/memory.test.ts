import { expect, test } from "bun:test";
import { runWithinBounds } from "../support/bounds.ts";
import { tempDir } from "../support/harness.ts";
import { zerosLayout } from "../support/zeros-layout.ts";

test("a layer out of an OCI layout is read in memory that does not grow with it", async () => {
  using dir = tempDir("memory");
  zerosLayout(dir.join("layout"), 300);
  const { exitCode, stdout } = await runWithinBounds(["inspect", `oci:${dir.join("layout")}`, "zeros"]);
  expect(exitCode).toBe(0);
  expect(stdout).toContain("1 file, 315 MB unpacked; verified");
});
