import { expect, describe as group } from "bun:test";
import {
  anyManifest,
  blobOf,
  configOf,
  expectCold,
  expectLayers,
  expectNeighbour,
  expectWarm,
  expectWarning,
  healthy,
  restore,
  restoreTest,
  type Setup,
} from "../support/cache-faults.ts";
import { analyzedToml, groupToml } from "../support/cache-fixture.ts";
import {
  type Fault,
  type FaultRule,
  startFaultRegistry,
  startSilentServer,
  testImage,
} from "../support/fault-registry.ts";
import { runRestorer, snapshot, tempDir } from "../support/harness.ts";

group("a server that stalls does not hang the run", () => {
  const stall = (path: RegExp, at?: number): FaultRule[] => [
    { path, fault: at === undefined ? { kind: "stall" } : { kind: "stall", at } },
  ];
  const cold: [step: string, setup: Setup][] = [
    ["before the manifest", { rules: stall(anyManifest) }],
    ["in the manifest", { rules: stall(anyManifest, 10) }],
    ["before the config", { rules: stall(configOf(healthy)) }],
    ["in the config", { rules: stall(configOf(healthy), 10) }],
    ["before a token", { auth: { kind: "token" }, rules: stall(/\/token/) }],
    ["in a token", { auth: { kind: "token" }, rules: stall(/\/token/, 5) }],
  ];
  for (const [step, setup] of cold) {
    restoreTest(step, async () => {
      expectCold(await restore({ ...setup, isSlow: true }), "127.0.0.1");
    });
  }

  const late: [what: string, path: RegExp][] = [
    ["a token server", /\/token/],
    ["a registry", anyManifest],
  ];
  for (const [what, path] of late) {
    restoreTest(`nor does ${what} that is alive, but needs 16 s, lose its one long attempt`, async () => {
      const rules: FaultRule[] = [{ path, times: 1, fault: { kind: "late", ms: 16_000 } }];
      const outcome = await restore({ auth: { kind: "token" }, rules, isSlow: true });
      expectWarm(outcome);
      expect(outcome.requests.filter((request) => path.test(request.path) && request.status !== 401)).toHaveLength(1);
    });
  }

  const partial: [step: string, rules: FaultRule[]][] = [
    ["before a blob", stall(blobOf(healthy))],
    ["in a blob", stall(blobOf(healthy), 100_000)],
    ["all but, at a byte now and then", [{ path: blobOf(healthy), fault: { kind: "trickle", everyMs: 200 } }]],
  ];
  for (const [step, rules] of partial) {
    restoreTest(step, async () => {
      expectNeighbour(await restore({ rules, isSlow: true }), "127.0.0.1");
    });
  }

  restoreTest("in every blob", async () => {
    const rules = [0, 1].flatMap((layer) => stall(blobOf(healthy, layer), 1000));
    const { exitCode, stderr, after } = await restore({ rules, isSlow: true });
    expect(exitCode).toBe(0);
    expect(stderr.match(/^Warning: Not restoring "bp:(one|two)": /gm)).toHaveLength(2);
    expectLayers(after, []);
  });

  restoreTest("in a blob once: the rest is asked for, and the layer is whole", async () => {
    const rules: FaultRule[] = [{ path: blobOf(healthy), times: 1, fault: { kind: "stall", at: 1_000_000 } }];
    const outcome = await restore({ rules, isSlow: true });
    expectWarm(outcome);
    const ranges = outcome.requests
      .filter(({ path }) => blobOf(healthy).test(path))
      .map(({ headers }) => headers.range);
    expect(ranges).toEqual([undefined, "bytes=1000000-"]);
  });

  restoreTest("that a redirect leads to", async () => {
    await using silent = await startSilentServer();
    const fault: Fault = { kind: "redirect", to: `http://${silent.host}/blob` };
    expectNeighbour(await restore({ rules: [{ path: blobOf(healthy), fault }], isSlow: true }));
  });

  async function restoreFrom(registry: string, analyzed = analyzedToml(), runToml = "") {
    using dir = tempDir("stall", { "analyzed.toml": analyzed, "group.toml": groupToml([{ id: "bp" }]) });
    using run = tempDir("run-toml", { "run.toml": runToml });
    const args = ["-layers", dir.path, "-cache-image", `${registry}/cache`, "-run", run.join("run.toml")];
    const result = await runRestorer(args);
    return { ...result, after: snapshot(dir.path) };
  }

  restoreTest("and never says a word", async () => {
    await using silent = await startSilentServer();
    const { exitCode, stderr, after } = await restoreFrom(silent.host);
    expectWarning(stderr, "Not using the cache: ", silent.host);
    expect(exitCode).toBe(0);
    expectLayers(after, []);
  });

  restoreTest("and does not even take connections", async () => {
    await using deaf = await startDeafServer();
    const { exitCode, stderr, after } = await restoreFrom(deaf.host);
    expectWarning(stderr, "Not using the cache: ", deaf.host);
    expect(exitCode).toBe(0);
    expectLayers(after, []);
  });

  restoreTest("where the run image's registry stalls, too", async () => {
    await using silent = await startSilentServer();
    await using other = await startSilentServer();
    await using mirror = await startFaultRegistry();
    const [selected, taken] = [`${silent.host}/run`, `${mirror.host}/run`];
    mirror.push("run", "latest", testImage());
    const analyzed = analyzedToml({ runImage: { reference: selected, image: selected } });
    const runToml = `[[images]]\nimage = "${selected}"\nmirrors = ["${taken}"]\n`;
    const { exitCode, signal, stderr } = await restoreFrom(other.host, analyzed, runToml);
    expect({ exitCode, signal }).toEqual({ exitCode: 0, signal: null });
    expect(stderr).toContain(taken);
    expect(stderr).toContain("Not using the cache: ");
  });
});

/**
 * A listener whose queue is full: connections to it are never made. It is a process of Node's, which blocks before it takes
 * the first connection; Bun does not let the length of the queue be chosen.
 */
async function startDeafServer(): Promise<AsyncDisposable & { readonly host: string }> {
  const script = `
    const { createServer, connect } = require("node:net");
    const server = createServer().listen({ port: 0, host: "127.0.0.1", backlog: 1 }, () => {
      const { port } = server.address();
      for (let i = 0; i < 8; i++) connect(port, "127.0.0.1");
      process.nextTick(() => {
        require("node:fs").writeSync(1, String(port));
        require("node:fs").readSync(0, Buffer.alloc(1));
      });
    });`;
  const child = Bun.spawn(["node", "-e", script], { stdin: "pipe", stdout: "pipe", stderr: "inherit" });
  const { value } = await child.stdout.getReader().read();
  const end = async () => {
    child.kill();
    await child.exited;
  };
  return {
    host: `127.0.0.1:${Buffer.from(value ?? [])
      .toString()
      .trim()}`,
    [Symbol.asyncDispose]: end,
  };
}
