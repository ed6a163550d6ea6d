/** Does what docs/drop-in.md says, with its own words. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { copyFileSync, lstatSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { resolve } from "node:path";
import { archiveOf, sumsOf } from "../../build/archive.ts";
import { layoutOf } from "../../build/oci-image.ts";
import { groupToml } from "../support/cache-fixture.ts";
import { file, have, isRoot, restorerPath, skipUnless, type TempDir, tempDir, writeTree } from "../support/harness.ts";

const project = resolve(import.meta.dir, "../..");
const page = readFileSync(resolve(project, "docs/drop-in.md"), "utf8");
const machine = process.arch === "arm64" ? "arm64" : "x64";
const phases = ["analyzer", "detector", "restorer", "builder", "exporter", "creator"];
/** Stands for the executable where only its place counts: one of the real size takes seconds to pack. */
const standIn = Buffer.from('#!/bin/sh\necho "restorer: $@"\n');

function blocks(language: string): string[] {
  return [...page.matchAll(new RegExp(`\`\`\`${language}\n(.*?)\`\`\``, "gs"))].map(([, text = ""]) => text);
}

/** A directory of phases as builders have it: all are links to one file. */
function writePhases(directory: string): void {
  writeTree(directory, { lifecycle: file("all phases", 0o755), launcher: file("launcher", 0o755) });
  for (const phase of phases) symlinkSync("lifecycle", resolve(directory, phase));
}

function expectReplaced(directory: string): void {
  expect(readFileSync(resolve(directory, "lifecycle"), "utf8")).toBe("all phases");
  expect(lstatSync(resolve(directory, "restorer")).isFile()).toBe(true);
  expect(readFileSync(resolve(directory, "restorer")).equals(standIn)).toBe(true);
  for (const phase of phases.filter((one) => one !== "restorer"))
    expect(lstatSync(resolve(directory, phase)).isSymbolicLink()).toBe(true);
}

describe("shell blocks", () => {
  let dir: TempDir;
  beforeAll(() => {
    const archive = archiveOf(machine, standIn);
    dir = tempDir("drop-in", { [archive.name]: archive.bytes, SHA256SUMS: sumsOf([archive]), cnb: { lifecycle: {} } });
    copyFileSync(resolve(project, "install.sh"), dir.join("install.sh"));
    writeTree(dir.path, { layers: {}, "group.toml": groupToml([{ id: "bp" }]) });
  });
  afterAll(() => dir[Symbol.dispose]());

  /** Runs a block with the builder's tree, the release and the machine of this test in the places that it names. */
  function runBlock(text: string): { exitCode: number; said: string } {
    const script = text
      .replaceAll("/cnb/", `${dir.path}/cnb/`)
      .replaceAll(/https:\/\/releases\.example\/\S+/g, dir.path)
      .replaceAll("linux-x64", `linux-${machine}`);
    const env = {
      PATH: process.env.PATH,
      HOME: dir.path,
      npm_config_cache: dir.join("npm"),
      npm_config_offline: "true",
    };
    const { exitCode, stdout, stderr } = Bun.spawnSync(["sh", "-e", "-c", script], { cwd: dir.path, env });
    return { exitCode, said: `${stdout}${exitCode === 0 ? "" : stderr}` };
  }

  const [installer, byHand, npx, otherName] = blocks("sh");

  for (const [name, text] of Object.entries({ installer, "what is done by hand": byHand })) {
    skipUnless(have("tar") && have("sha256sum"), "tar, sha256sum")(`${name} replaces the link`, () => {
      rmSync(dir.join("cnb/lifecycle"), { recursive: true, force: true });
      writePhases(dir.join("cnb/lifecycle"));
      expect(runBlock(text ?? "")).toEqual({ exitCode: 0, said: expect.stringMatching(/restorer: -version\n$/) });
      expectReplaced(dir.join("cnb/lifecycle"));
    });
  }

  skipUnless(have("npx"), "npx")("npx runs an archive", () => {
    expect(runBlock(npx ?? "")).toEqual({ exitCode: 0, said: "restorer: -version\n" });
  });

  test("the executable stands in for lifecycle restore", () => {
    writeTree(dir.path, { cnb: { lifecycle: {} } });
    rmSync(dir.join("cnb/lifecycle/restorer"), { force: true });
    copyFileSync(restorerPath(), dir.join("cnb/lifecycle/restorer"));
    expect(runBlock(otherName ?? "")).toMatchObject({
      exitCode: 0,
      said: expect.stringContaining("Restored 0 layers"),
    });
  });

  test("every block is run here", () => expect(blocks("sh").length).toBe(4));
});

describe("Dockerfiles", () => {
  const podman = ["podman", "--log-level=error"];
  let dir: TempDir;
  const run = (...argv: string[]): string => {
    const { exitCode, stdout, stderr } = Bun.spawnSync(argv, { cwd: dir.path, stdin: "ignore" });
    if (exitCode !== 0) throw new Error(`${argv.join(" ")}: ${stderr}`);
    return stdout.toString().trim();
  };
  const tools = isRoot && have("podman") && have("skopeo") && have("tar");

  beforeAll(() => {
    if (!tools) return;
    dir = tempDir("dockerfiles", { context: {}, tree: { cnb: { lifecycle: {} } } });
    podman.push("--root", dir.join("storage"), "--runroot", dir.join("run"), "--storage-driver", "overlay");
    writePhases(dir.join("tree/cnb/lifecycle"));
    run("tar", "-C", dir.join("tree"), "-cf", "tree.tar", "cnb");
    const environment = ["-c", "ENV CNB_USER_ID=1000", "-c", "ENV CNB_GROUP_ID=1000", "-c", "USER 1000:1000"];
    for (const name of ["registry.example/builder:1", "docker.io/buildpacksio/lifecycle:0.20.11"])
      run(...podman, "import", ...environment, "tree.tar", name);
    for (const [path, bytes] of layoutOf(new Map([[machine, standIn]]), undefined))
      writeTree(dir.path, { [`layout/${path}`]: Buffer.from(bytes) });
    const from = `oci:${dir.join("layout")}`;
    run(
      "skopeo",
      "copy",
      "--quiet",
      from,
      `docker-archive:${dir.join("restorer.tar")}:registry.example/restorer:0.1.0`,
    );
    run(...podman, "load", "--input", "restorer.tar");
  });
  afterAll(() => dir?.[Symbol.dispose]());

  /** What kpack takes of a lifecycle image, unpacked. */
  function lastLayer(image: string): string {
    run(...podman, "save", "--quiet", "--format=docker-dir", "-o", dir.join("saved"), image);
    const { layers } = JSON.parse(readFileSync(dir.join("saved/manifest.json"), "utf8"));
    const name = layers.at(-1).digest.replace("sha256:", "");
    writeTree(dir.path, { last: {} });
    run("tar", "-C", dir.join("last"), "-xf", dir.join("saved", name));
    return dir.join("last");
  }

  for (const text of blocks("dockerfile")) {
    const name = /^# (\S+)/.exec(text)?.[1] ?? "";
    skipUnless(tools, "root, podman, skopeo, tar")(`${name} replaces the link, and keeps all else`, () => {
      writeFileSync(dir.join(name), text);
      run(...podman, "build", "--isolation=chroot", "--pull=never", "-t", "built", "-f", name, "context");
      expect(run(...podman, "inspect", "--format", "{{.Config.User}}", "built")).toBe("1000:1000");
      const root = run(...podman, "image", "mount", "built");
      expectReplaced(resolve(root, "cnb/lifecycle"));
      if (name === "lifecycle.Dockerfile") expectReplaced(resolve(lastLayer("built"), "cnb/lifecycle"));
      run(...podman, "image", "unmount", "built");
    });
  }
});
