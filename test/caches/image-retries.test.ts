import { expect, describe as group } from "bun:test";
import { readFileSync } from "node:fs";
import {
  anyManifest,
  blobOf,
  configOf,
  expectWarm,
  healthy,
  plain,
  restore,
  restoreTest,
  type Setup,
  status,
} from "../support/cache-faults.ts";
import { tempDir } from "../support/harness.ts";

group("what passes is waited for", () => {
  const cases: [what: string, setup: Setup][] = [
    ["503 twice", { rules: [{ path: /./, times: 2, fault: status(503) }] }],
    [
      "429 with a time to wait",
      { rules: [{ path: /./, times: 1, fault: { kind: "status", status: 429, headers: { "retry-after": "1" } } }] },
    ],
    [
      "a connection that ends at each step",
      {
        rules: [anyManifest, configOf(healthy), blobOf(healthy)].map((path) => ({
          path,
          times: 1,
          fault: { kind: "reset" },
        })),
      },
    ],
    [
      "a manifest and a config cut off",
      { rules: [anyManifest, configOf(healthy)].map((path) => ({ path, times: 1, fault: { kind: "cut" } })) },
    ],
    ["a blob cut off twice", { rules: [{ path: blobOf(healthy), times: 2, fault: { kind: "cut" } }] }],
    [
      "a blob cut off, and a server that knows no ranges",
      {
        rules: [
          { path: blobOf(healthy), times: 1, fault: { kind: "cut" } },
          { path: blobOf(healthy), fault: { kind: "ignore-range" } },
        ],
      },
    ],
    [
      "a token server that takes its time",
      { auth: { kind: "token" }, rules: [{ path: /^\/token/, fault: { kind: "trickle", everyMs: 10 } }] },
    ],
    ["a token that is good for two requests", { auth: { kind: "token", uses: 2 } }],
    ["a token that expires at once", { auth: { kind: "token", expiresIn: 1 } }],
    ["HEAD refused", { rules: [{ path: /./, method: "HEAD", fault: status(405) }] }],
  ];
  for (const [what, setup] of cases) {
    restoreTest(what, async () => expectWarm(await restore(setup)));
  }

  restoreTest("and told at debug, in milliseconds", async () => {
    const { stdout } = await restore({
      rules: [{ path: /./, times: 1, fault: status(503) }],
      args: ["-log-level", "debug"],
    });
    expect(stdout).toMatch(/^All layers, .*: \d+ ms waiting for the registry, \d+ ms decompressing/m);
  });

  restoreTest("and told in the report", async () => {
    using dir = tempDir("retries");
    const report = dir.join("report.json");
    const rules: Setup["rules"] = [{ path: blobOf(healthy), times: 2, fault: { kind: "cut" } }];
    expectWarm(await restore({ rules, args: ["-report", report] }));
    const { layers } = JSON.parse(readFileSync(report, "utf8"));
    const retries: number[] = layers.map((layer: { retries: number }) => layer.retries);
    expect(retries.reduce((sum, one) => sum + one, 0)).toBe(2);
  });

  restoreTest("and every byte of a blob that was cut off is asked for once", async () => {
    const outcome = await restore({ image: plain, rules: [{ path: blobOf(plain), times: 1, fault: { kind: "cut" } }] });
    expectWarm(outcome);
    const [first, second] = outcome.requests.filter(({ path }) => blobOf(plain).test(path));
    expect(first?.headers.range).toBeUndefined();
    expect(second?.headers.range ?? "bytes=0-").toMatch(/^bytes=\d+-$/);
  });
});
