/** What tools for debugging see of the self-contained file. */
import { afterAll, beforeAll, describe, expect } from "bun:test";
import { builtWithGlibc, runsAnywhere } from "../support/bare-root.ts";
import { blobOf, healthy } from "../support/cache-faults.ts";
import { analyzedToml, groupToml, makeCache } from "../support/cache-fixture.ts";
import { eventually } from "../support/eventually.ts";
import { type FaultRegistry, startFaultRegistry } from "../support/fault-registry.ts";
import {
  have,
  type RunningRestorer,
  restorerPath,
  skipUnless,
  startRestorer,
  type TempDir,
  tempDir,
} from "../support/harness.ts";

describe("the self-contained file", () => {
  let registry: FaultRegistry;
  let dir: TempDir;
  beforeAll(async () => {
    registry = await startFaultRegistry({ rules: [{ path: blobOf(healthy), fault: { kind: "stall", at: 500_000 } }] });
    registry.push("cache", "latest", healthy);
    dir = tempDir("debug", {
      layers: { "group.toml": groupToml([{ id: "bp" }]), "analyzed.toml": analyzedToml() },
      large: { file: "x".repeat(100_000) },
    });
  });
  afterAll(async () => {
    dir[Symbol.dispose]();
    await registry[Symbol.asyncDispose]();
  });

  /** A run that waits for the rest of a blob, with all its threads. */
  async function waitingRun(): Promise<RunningRestorer> {
    const before = registry.requests.length;
    const run = startRestorer(["-layers", dir.join("layers"), "-cache-image", `${registry.host}/cache`]);
    await eventually("a request", () => registry.requests.slice(before).find(({ path }) => blobOf(healthy).test(path)));
    return run;
  }

  const withTool = (tool: string) => skipUnless(runsAnywhere && have(tool), `${builtWithGlibc}, ${tool}`);

  withTool("gdb")("is attached to by gdb, which knows its threads and libraries by their names", async () => {
    const run = await waitingRun();
    const commands = ["info sharedlibrary", "info threads"].flatMap((command) => ["-ex", command]);
    const argv = ["gdb", "-nx", "-batch", "-p", String(run.pid), ...commands];
    const { exitCode, stdout, stderr } = Bun.spawnSync(argv, { stdin: "ignore", env: { PATH: process.env.PATH } });
    run.kill("SIGTERM");
    expect(await run.result).toMatchObject({ exitCode: 143 });
    const said = stdout.toString();
    expect({ exitCode, stderr: stderr.toString() }).toEqual({
      exitCode: 0,
      stderr: expect.not.stringContaining("BFD"),
    });
    expect(said).toMatch(/ libc\.so\.6$/m);
    expect(said).toMatch(/ libm\.so\.6$/m);
    expect(said).toMatch(/"HTTP Client"/);
    expect(said).not.toContain("/proc/self/fd");
  });

  withTool("strace")("is followed by strace from its first system call, with all its threads", () => {
    const layers = [{ name: "large", build: true, tree: dir.join("large") }];
    const { path } = makeCache(dir.join("cache"), [{ id: "bp", layers }]);
    const argv = ["strace", "-f", "-o", dir.join("trace"), restorerPath(), "verify", path];
    const { exitCode, stdout } = Bun.spawnSync(argv, { stdin: "ignore" });
    expect([exitCode, stdout.toString()]).toEqual([0, expect.stringContaining("bp:large")]);
    return Bun.file(dir.join("trace"))
      .text()
      .then((trace) => {
        const threads = new Set([...trace.matchAll(/^(\d+) /gm)].map(([, thread]) => thread));
        expect(threads.size).toBeGreaterThan(1);
        expect(trace.match(/memfd_create\("libc\.so\.6", /g)).toHaveLength(1);
      });
  });

  withTool("sh")("says what it was doing when it crashes, and dies of the signal", async () => {
    const run = await waitingRun();
    run.kill("SIGSEGV");
    const { signal, stderr } = await run.result;
    expect(signal).toBe("SIGSEGV");
    expect(stderr).toMatch(/^Args: .*-cache-image/m);
    expect(stderr).toMatch(/Segmentation fault at address 0x/);
  });
});
