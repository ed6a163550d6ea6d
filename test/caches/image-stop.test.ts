import { expect, describe as group } from "bun:test";
import {
  anyManifest,
  blobOf,
  configOf,
  expectLayers,
  healthy,
  names,
  restoreTest,
  type Setup,
  status,
} from "../support/cache-faults.ts";
import { analyzedToml, groupToml } from "../support/cache-fixture.ts";
import { eventually } from "../support/eventually.ts";
import { startFaultRegistry } from "../support/fault-registry.ts";
import { runRestorer, type Snapshot, snapshot, startRestorer, tempDir } from "../support/harness.ts";

group("a run that is asked to stop", () => {
  const stops: [where: string, setup: Setup, path: RegExp][] = [
    ["before the manifest", { rules: [{ path: anyManifest, fault: { kind: "stall" } }] }, anyManifest],
    ["in the config", { rules: [{ path: configOf(healthy), fault: { kind: "stall", at: 5 } }] }, configOf(healthy)],
    [
      "before a token",
      { auth: { kind: "token" }, rules: [{ path: /^\/token/, fault: { kind: "stall" } }] },
      /^\/token/,
    ],
    ["in a blob", { rules: [{ path: blobOf(healthy), fault: { kind: "stall", at: 500_000 } }] }, blobOf(healthy)],
    ["between two attempts at a blob", { rules: [{ path: blobOf(healthy), fault: status(503) }] }, blobOf(healthy)],
  ];
  for (const [where, { rules = [], ...setup }, path] of stops) {
    restoreTest(`${where} stops at once, with nothing half`, async () => {
      await using server = await startFaultRegistry({ rules, ...setup });
      server.push("cache", "latest", healthy);
      using dir = tempDir("stop", { "group.toml": groupToml([{ id: "bp" }]), "analyzed.toml": analyzedToml() });
      const args = ["-layers", dir.path, "-cache-image", `${server.host}/cache`];
      const run = startRestorer(args);
      await eventually(`a request of ${path}`, () => server.requests.find((request) => path.test(request.path)));
      run.kill("SIGTERM");
      const { exitCode, stderr } = await run.result;
      expect(exitCode).toBe(143);
      expect(stderr).toBe("Warning: stopped by SIGTERM\n");
      // On a machine too busy to clean up within a second something stays, where nobody takes it for a layer.
      const after: Snapshot = new Map([...snapshot(dir.path)].filter(([name]) => !name.startsWith(".restorer-")));
      const isThere = after.has("bp/two");
      expectLayers(after, isThere ? ["two"] : [], after.has("bp") && !isThere ? ["bp"] : []);
      // The next run removes that, and has everything.
      server.rules.length = 0;
      expect(await runRestorer(args)).toMatchObject({ exitCode: 0, stderr: "" });
      expectLayers(snapshot(dir.path), names);
    });
  }
});
