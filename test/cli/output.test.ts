import { describe, expect, test } from "bun:test";
import { readdirSync, readFileSync, unlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { explainCommand, verifyCommand } from "../../lib/cli/explain-command.ts";
import { readInputs } from "../../lib/cli/inputs.ts";
import { runRestorer } from "../support/harness.ts";
import { scene } from "./scene.ts";

describe("what people see", () => {
  test("a line for each layer and a summary on stdout; nothing on stderr", async () => {
    using made = scene({
      buildpacks: (tree) => [
        {
          id: "a/b",
          layers: [
            { name: "deps", tree },
            { name: "not-cached", cache: false },
          ],
        },
      ],
      analyzed: { buildpacks: [{ id: "a/b", layers: [{ name: "app" }] }] },
    });
    // Later ones also look at the run image.
    const { exitCode, stdout, stderr } = await made.run([], { env: { CNB_PLATFORM_API: "0.13" } });
    expect({ exitCode, stderr }).toEqual({ exitCode: 0, stderr: "" });
    const lines = stdout.trimEnd().split("\n");
    const explain = `restorer explain -layers ${made.layers} -cache-dir ${made.cache.path}`;
    expect(lines.pop()).toBe(`To learn why, and what can be changed: CNB_PLATFORM_API=0.13 ${explain}`);
    expect(lines.slice(0, -1).sort()).toEqual([
      'Not restoring "a/b:not-cached": cache=false in the cache',
      'Restoring data for "a/b:deps" from cache',
      'Restoring metadata for "a/b:app" from app image',
      'Restoring metadata for "a/b:deps" from cache',
    ]);
    expect(lines.at(-1)).toMatch(
      /^Restored 1 layer \(3 files, [0-9]+ bytes\) in [0-9.]+ s, 1 metadata only, 1 skipped$/,
    );
  });

  test("a removed layer is named with its reason", async () => {
    const sha = `sha256:${"0".repeat(64)}`;
    using made = scene({
      buildpacks: (tree) => [{ id: "bp", layers: [{ name: "deps", tree, launch: true }] }],
      analyzed: { buildpacks: [{ id: "bp", layers: [{ name: "deps", sha, cache: true }] }] },
      standing: { bp: { deps: { old: "" }, "deps.toml": "", "deps.sha": "", "deps.sbom.cdx.json": "{}" } },
    });
    const { stdout, stderr } = await made.run();
    expect(stderr).toBe("");
    expect(stdout).toContain('Removing "bp:deps", wrong sha: ');
    expect(readdirSync(join(made.layers, "bp"))).toEqual([]);
  });

  test("-log-level error is silent where all is well, and debug says no less than info", async () => {
    using made = scene();
    expect(await made.run(["-log-level", "error"])).toMatchObject({ exitCode: 0, stdout: "", stderr: "" });
    const info = (await made.run()).stdout.split("\n").filter((line) => !line.startsWith("Restored"));
    const debug = (await made.run(["-log-level", "DEBUG"])).stdout.split("\n");
    for (const line of info) expect(debug).toContain(line);
  });
});

describe("the line that says how to learn more", () => {
  test("has all that decides about layers, ready for a shell", () => {
    const given = [
      "-layers",
      "/l",
      "-group",
      "/g.toml",
      "-cache-from",
      "oci:/a b",
      "-cache-from",
      "main",
      "-only",
      "it's",
    ];
    const env = {
      CNB_CACHE_IMAGE: "host/cache",
      CNB_CACHE_DIR: "/unused",
      CNB_EXEC_ENV: "test",
      CNB_PLATFORM_API: "0.12",
    };
    expect(explainCommand(readInputs([...given, "-report", "/r", "-layout", "-layout-dir", "lay outs"], env))).toBe(
      "CNB_PLATFORM_API=0.12 CNB_EXEC_ENV=test restorer explain -layers /l -group /g.toml -cache-image host/cache " +
        "-cache-from 'oci:/a b' -cache-from main -only 'it'\\''s' -layout -layout-dir 'lay outs'",
    );
    expect(explainCommand(readInputs([], {}))).toBe("restorer explain");
    expect(readInputs(["-cache-from", "."], {}).cacheFrom).toEqual([process.cwd()]);
    expect(verifyCommand(readInputs(["-insecure-registry", "host"], {}), "oci:/a b")).toBe(
      "restorer verify -insecure-registry host 'oci:/a b'",
    );
  });

  test("explains when it is pasted, and is not there where all came back", async () => {
    using made = scene({ layers: ["one", "two"] });
    expect((await made.run()).stdout).not.toContain("restorer explain");
    expect((await made.run(["-only", "one"])).stdout).not.toContain("restorer explain");
    unlinkSync(made.cache.blob("bp", "two"));
    const command = /: restorer (explain .*)\n$/.exec((await made.run()).stdout)?.[1] ?? "";
    const { exitCode, stdout } = await runRestorer(command.split(" "));
    expect(exitCode).toBe(0);
    expect(stdout).toMatch(/^refuse +bp:two /m);
  });

  test("names verify, ready for a shell, where only reading a blob tells", async () => {
    using made = scene({ layers: ["one", "two"] });
    const blob = made.cache.blob("bp", "two");
    const bytes = readFileSync(blob);
    bytes[600] = (bytes[600] ?? 0) ^ 1;
    writeFileSync(blob, bytes);
    const { stdout } = await made.run();
    expect(stdout).not.toContain("restorer explain");
    const command = /: restorer (verify .*)\n$/.exec(stdout)?.[1] ?? "";
    const verified = await runRestorer(command.split(" "));
    expect(verified.exitCode).toBe(42);
    expect(verified.stdout).toMatch(/^bad +bp:two /m);
    // Of another layer explain tells.
    unlinkSync(made.cache.blob("bp", "one"));
    const both = (await made.run()).stdout.trimEnd().split("\n").slice(-2);
    expect(both).toEqual([expect.stringContaining(command), expect.stringContaining("restorer explain ")]);
  });

  test("comes after where the time went, at debug", async () => {
    using made = scene();
    const { stdout } = await made.run(["-log-level", "debug"]);
    const spent = /\d+ ms decompressing and hashing, \d+ ms writing$/m;
    expect(stdout).toMatch(new RegExp(`^Restoring "bp:deps" took \\d+ ms: ${spent.source}`, "m"));
    expect(stdout).toMatch(new RegExp(`^All layers, .*: ${spent.source}`, "m"));
    // It was asked for nothing.
    expect(stdout).not.toContain("registry");
  });
});

describe("messages about what is not to be trusted", () => {
  test("do not repeat what is recorded as a digest, and is not one", async () => {
    const forged = "x\n::error::forged";
    using made = scene({
      buildpacks: (tree) => [{ id: "bp", layers: [{ name: "deps", tree, sha: forged, cache: true }] }],
      analyzed: { buildpacks: [{ id: "bp", layers: [{ name: "deps", sha: "sha256:0", launch: true, cache: true }] }] },
    });
    const { stdout, stderr } = await made.run();
    expect(stderr).toContain("is not a sha256 digest");
    expect(`${stdout}${stderr}`).not.toContain("::error::");
  });

  test("name a cause once", async () => {
    using made = scene();
    unlinkSync(made.cache.blob("bp", "deps"));
    const { stderr } = await made.run();
    expect(stderr.match(/no such file or directory/g)).toHaveLength(1);
  });

  test("include variables that are not booleans", async () => {
    using made = scene();
    const { exitCode, stderr } = await made.run([], { env: { CNB_SKIP_LAYERS: "maybe" } });
    expect(exitCode).toBe(0);
    expect(stderr).toContain('CNB_SKIP_LAYERS="maybe" is neither true nor false');
  });
});
