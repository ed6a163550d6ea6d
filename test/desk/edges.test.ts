import { describe, expect, test } from "bun:test";
import { readFileSync, truncateSync, writeFileSync } from "node:fs";
import { scene } from "../cli/scene.ts";
import { groupToml } from "../support/cache-fixture.ts";
import { eventually } from "../support/eventually.ts";
import { startFaultRegistry } from "../support/fault-registry.ts";
import { removeTree, runRestorer, startRestorer } from "../support/harness.ts";
import { data, desk } from "./run.ts";

describe("a command that does not begin says why in JSON, where that is asked for:", () => {
  test.each([
    ["an unknown flag", ["verify", "-x", "-output", "json"]],
    ["a word too many", ["inspect", "a", "b", "c", "d", "-output", "json"]],
    ["a word too few", ["diff", "-output=json", "a"]],
    ["a wrong depth", ["inspect", "-output", "json", "-depth", "x", "."]],
    ["a report, which only a restore writes", ["explain", "-report", "r", "-output", "json"]],
    ["an unknown command", ["inspekt", "-output", "json"]],
  ])("%s", async (_, args) => {
    const { exitCode, stdout } = await desk(...args);
    const error = { code: "invalid-arguments" };
    expect({ exitCode, found: JSON.parse(stdout) }).toMatchObject({ exitCode: 3, found: { command: args[0], error } });
  });

  test("a Platform API that does not exist", async () => {
    const { exitCode, stdout } = await runRestorer(["explain", "-output", "json"], { env: { CNB_PLATFORM_API: "9" } });
    expect(exitCode).toBe(11);
    expect(JSON.parse(stdout)).toMatchObject({ exitCode: 11, error: { code: "platform-api-unsupported" } });
  });

  test("but in text where it is not", async () => {
    expect(await desk("verify", "-x")).toMatchObject({ exitCode: 3, stdout: "" });
  });
});

describe("-only on a first build is a cold one:", () => {
  test.each([
    ["an empty cache", ({ cache }: ReturnType<typeof scene>) => removeTree(cache.committed)],
    ["an absent cache", ({ cache }: ReturnType<typeof scene>) => removeTree(cache.path)],
  ])("%s", async (_, make) => {
    using made = scene();
    make(made);
    const { exitCode, stdout } = await made.run(["-only", "jdk"]);
    expect(exitCode).toBe(0);
    expect(stdout).toContain('No layer is called "jdk", this is a first build');
  });

  test("so is one whose cache cannot be used, which may not be the first", async () => {
    using made = scene();
    writeFileSync(made.cache.metadataPath, "{");
    const { exitCode, stdout } = await made.run(["-only", "jdk"]);
    expect(exitCode).toBe(0);
    expect(stdout).toContain('No layer is called "jdk", no cache is used that might hold it');
  });

  test("a name that none fits of what a cache holds is an error", async () => {
    using made = scene();
    expect((await made.run(["-only", "jdk"])).exitCode).toBe(3);
  });
});

describe("-only beside an app image", () => {
  const analyzed = { buildpacks: [{ id: "bp", layers: [{ name: "site", launch: true }] }] };
  test.each([
    ["an empty cache", ({ cache }: ReturnType<typeof scene>) => removeTree(cache.committed)],
    ["an absent cache", ({ cache }: ReturnType<typeof scene>) => removeTree(cache.path)],
    ["a malformed cache", ({ cache }: ReturnType<typeof scene>) => writeFileSync(cache.metadataPath, "{")],
  ])("is a cold build with %s that might hold the layer", async (_, make) => {
    using made = scene({ analyzed });
    make(made);
    const { exitCode, stdout } = await made.run(["-only", "deps"]);
    expect(exitCode).toBe(0);
    expect(stdout).toContain('No layer is called "deps", no cache is used that might hold it');
  });

  test("knows all layers there are where no cache is given", async () => {
    using made = scene({ analyzed });
    const args = ["-layers", made.layers, "-only", "deps"];
    expect((await runRestorer(args, { env: { CNB_PLATFORM_API: "0.14" } })).exitCode).toBe(3);
  });
});

test("a layer is named by its name and the end of its buildpack's id, also where another one begins so", async () => {
  using made = scene({
    buildpacks: (tree) => [{ id: "ex/java", layers: ["jdk", "jdk-certs"].map((name) => ({ name, tree })) }],
  });
  const { exitCode, stdout } = await desk("inspect", made.cache.path, "java:jdk");
  expect({ exitCode, stdout }).toMatchObject({ exitCode: 0, stdout: expect.stringContaining("ex/java:jdk") });
  expect((await desk("inspect", made.cache.path, "java:jd")).exitCode).toBe(3);
});

test("a command that a signal stops says so in JSON, where that is asked for", async () => {
  await using server = await startFaultRegistry({ rules: [{ path: /./, fault: { kind: "stall" } }] });
  const run = startRestorer(["verify", `${server.host}/org/cache`, "-output", "json"]);
  await eventually("a request", () => server.requests[0]);
  run.kill("SIGTERM");
  const { exitCode, stdout } = await run.result;
  expect(exitCode).toBe(143);
  expect(JSON.parse(stdout)).toMatchObject({ command: "verify", exitCode: 143, error: { code: "interrupted" } });
});

describe("explain", () => {
  test("takes no cache as a word, and says how one is named", async () => {
    using made = scene();
    const { exitCode, stderr } = await desk("explain", "-layers", made.layers, made.cache.path);
    expect(exitCode).toBe(3);
    expect(stderr).toContain(`Did you mean -cache-dir ${made.cache.path}?`);
    const layout = await desk("explain", "-layers", made.layers, "oci:cache");
    expect(layout.stderr).toContain("Did you mean -cache-image oci:cache?");
  });

  test("says that a cache is not used", async () => {
    using made = scene();
    writeFileSync(made.cache.metadataPath, "{");
    const args = ["explain", "-layers", made.layers, "-cache-dir", made.cache.path];
    expect((await desk(...args)).stdout).toContain(`Cache:        ${made.cache.path} (not used)\n`);
  });

  test("says of a layer that the cache holds for a buildpack outside of the group that this is why", async () => {
    using made = scene({ group: groupToml([{ id: "other" }]) });
    const args = ["explain", "-layers", made.layers, "-cache-dir", made.cache.path];
    const { exitCode, stdout } = await desk(...args, "deps");
    expect(exitCode).toBe(0);
    expect(stdout).toContain("bp:deps would not be restored");
    expect(stdout).toContain("group.toml does not have the buildpack bp");
    expect(await data(...args, "deps")).toMatchObject({
      exitCode: 0,
      found: {
        layers: [],
        notInGroup: [{ buildpack: "bp" }],
        outsideOfGroup: {
          buildpack: "bp",
          layer: "deps",
          cache: { cache: true },
          rule: expect.stringContaining("group"),
        },
      },
    });
    expect((await desk(...args, "nothing")).exitCode).toBe(3);
  });

  test("ends with 42 where a strict restore would", async () => {
    using made = scene({ layers: ["one", "two"] });
    const args = ["explain", "-layers", made.layers, "-cache-dir", made.cache.path];
    expect((await desk(...args, "-strict")).exitCode).toBe(0);
    removeTree(made.cache.blob("bp", "one"));
    expect((await desk(...args)).exitCode).toBe(0);
    expect((await desk(...args, "-strict")).exitCode).toBe(42);
  });
});

test("-cache-from leaves the first word a cache where it looks like one", async () => {
  using made = scene();
  using other = scene({ layers: ["one"] });
  truncateSync(made.cache.blob("bp", "deps"), 2048);
  const both = await data("verify", made.cache.path, "-cache-from", other.cache.path);
  expect(both).toMatchObject({ exitCode: 42, found: { cache: { reference: made.cache.path } } });
  const layer = await data("verify", "one", "-cache-from", other.cache.path);
  expect(layer).toMatchObject({ exitCode: 0, found: { cache: { reference: other.cache.path } } });
});

test("half a character of a cache does not spoil JSON", async () => {
  using made = scene();
  const text = readFileSync(made.cache.metadataPath, "utf8");
  writeFileSync(made.cache.metadataPath, text.replace(/"name":"deps"/, '"name":"a\\ud800b\\\\ud800"'));
  const { stdout } = await desk("inspect", made.cache.path, "deps", "-output", "json");
  expect(stdout).not.toMatch(/[^\\]\\ud800/);
  expect(JSON.parse(stdout).layer.metadata).toEqual({ name: "a\ufffdb\\ud800" });
});

test("what cannot be made is told in the system's words", async () => {
  using made = scene();
  const cache = await desk("make-cache", "-layers", made.layers, "-cache-dir", "/proc/x");
  const layers = await made.run(["-layers", "/proc/x", "-group", `${made.layers}/group.toml`]);
  for (const { exitCode, stderr } of [cache, layers]) {
    expect(exitCode).not.toBe(0);
    expect(stderr).toMatch(/"\/proc\/x": no such file or directory/);
  }
});
