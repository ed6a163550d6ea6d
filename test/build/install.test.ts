import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { lstatSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { file, have, skipUnless, type TempDir, tempDir } from "../support/harness.ts";

const script = resolve(import.meta.dir, "../../install.sh");
const machine = process.arch;
/** A version that no machine can run. */
const unusable = "2.0.0";

/** Runs install.sh; `line` is what it said last. */
async function install(env: Readonly<Record<string, string>>, cwd = "/"): Promise<{ exitCode: number; line: string }> {
  const options = { cwd, env: { PATH: process.env.PATH, ...env }, stdout: "pipe", stderr: "pipe" } as const;
  const child = Bun.spawn([Bun.which("sh") ?? "sh", script], options);
  const [stdout, stderr, exitCode] = await Promise.all([child.stdout.text(), child.stderr.text(), child.exited]);
  return { exitCode, line: `${stdout}${stderr}`.trim().split("\n").at(-1) ?? "" };
}

describe("install.sh", () => {
  // A release of scripts: one of the real file takes a minute to make.
  let release: TempDir;
  beforeAll(() => {
    release = tempDir("release");
    const sums = ["1.0.0", "1.1.0", unusable].map((version) => {
      const name = `restorer-${version}-linux-${machine}`;
      const text = `#!${version === unusable ? "/nowhere" : "/bin/sh"}\necho restorer ${version}\n`;
      using tree = tempDir("archive", { [name]: { restorer: file(text, 0o755) } });
      Bun.spawnSync(["tar", "-czf", release.join(`${name}.tar.gz`), "-C", tree.path, name]);
      const bytes = readFileSync(release.join(`${name}.tar.gz`));
      return `${new Bun.CryptoHasher("sha256").update(bytes).digest("hex")}  ${name}.tar.gz\n`;
    });
    writeFileSync(release.join("SHA256SUMS"), sums.join(""));
  });
  afterAll(() => release[Symbol.dispose]());

  /** Where releases come from, by name. */
  const sources = {
    "a directory": () => ({ base: release.path, end: () => {} }),
    "a web server": () => {
      const serve = (request: Request) => new Response(Bun.file(release.join(new URL(request.url).pathname.slice(3))));
      const server = Bun.serve({ hostname: "127.0.0.1", port: 0, fetch: serve });
      return { base: `http://127.0.0.1:${server.port}/v1`, end: () => void server.stop(true) };
    },
    "a file URL": () => ({ base: `file://${release.path}`, end: () => {} }),
  };

  for (const [name, start] of Object.entries(sources)) {
    const fits = name === "a directory" || have("curl") || (have("wget") && name === "a web server");
    skipUnless(fits, "curl")(`takes a release from ${name}, into PREFIX`, async () => {
      const { base, end } = start();
      using prefix = tempDir("prefix");
      const { exitCode, line } = await install({ BASE_URL: base, VERSION: "1.1.0", PREFIX: prefix.path });
      end();
      const path = prefix.join("bin/restorer");
      expect({ exitCode, line }).toEqual({ exitCode: 0, line: `installed restorer 1.1.0 as ${path}` });
      expect(lstatSync(path).mode & 0o777).toBe(0o755);
      expect(readdirSync(prefix.join("bin"))).toEqual(["restorer"]);
    });
  }

  test("replaces a builder's link, and leaves the file with all phases as it is", async () => {
    using cnb = tempDir("cnb", { lifecycle: { lifecycle: file("all phases", 0o755) } });
    for (const phase of ["analyzer", "restorer", "creator"]) symlinkSync("lifecycle", cnb.join("lifecycle", phase));
    const dest = cnb.join("lifecycle/restorer");
    for (const VERSION of ["1.0.0", "1.1.0"]) {
      expect(await install({ BASE_URL: release.path, VERSION, DEST: dest })).toMatchObject({ exitCode: 0 });
      expect(readFileSync(dest, "utf8")).toContain(VERSION);
      expect(lstatSync(dest).isFile()).toBe(true);
    }
    expect(readFileSync(cnb.join("lifecycle/lifecycle"), "utf8")).toBe("all phases");
    expect(readdirSync(cnb.join("lifecycle")).sort()).toEqual(["analyzer", "creator", "lifecycle", "restorer"]);
  });

  test("replaces a link to a directory, and puts nothing into it", async () => {
    using dir = tempDir("link", { target: {} });
    symlinkSync("target", dir.join("restorer"));
    const env = { BASE_URL: release.path, VERSION: "1.0.0", DEST: dir.join("restorer") };
    expect(await install(env)).toMatchObject({ exitCode: 0 });
    expect([readdirSync(dir.join("target")), lstatSync(dir.join("restorer")).isFile()]).toEqual([[], true]);
  });

  test("installs nothing whose sum is wrong", async () => {
    using bad = tempDir("bad");
    const name = `restorer-1.0.0-linux-${machine}.tar.gz`;
    writeFileSync(bad.join("SHA256SUMS"), readFileSync(release.join("SHA256SUMS")));
    writeFileSync(bad.join(name), readFileSync(release.join(`restorer-1.1.0-linux-${machine}.tar.gz`)));
    const prefix = bad.join("prefix");
    const { exitCode, line } = await install({ BASE_URL: bad.path, VERSION: "1.0.0", PREFIX: prefix });
    expect([exitCode, line]).toEqual([
      1,
      `install.sh: ${name} has another sum than SHA256SUMS says; nothing is installed`,
    ]);
    expect(readdirSync(bad.path)).not.toContain("prefix");
  });

  test.each(["restorer", "-dash", "a b/./restorer"])("takes DEST=%s from the current directory", async (DEST) => {
    using dir = tempDir("relative");
    const { exitCode, line } = await install({ BASE_URL: release.path, VERSION: "1.0.0", DEST }, dir.path);
    expect({ exitCode, line }).toEqual({ exitCode: 0, line: `installed restorer 1.0.0 as ${dir.path}/${DEST}` });
    expect(lstatSync(join(dir.path, DEST)).isFile()).toBe(true);
  });

  test("leaves the old one in its place where the new one does not run", async () => {
    using dir = tempDir("old", { bin: { restorer: "old" } });
    const { exitCode, line } = await install({ BASE_URL: release.path, VERSION: unusable, PREFIX: dir.path });
    expect({ exitCode, line }).toEqual({
      exitCode: 1,
      line: expect.stringMatching(/does not run in \S+\/bin; is that mounted with noexec\? Nothing is installed$/),
    });
    expect([readdirSync(dir.join("bin")), readFileSync(dir.join("bin/restorer"), "utf8")]).toEqual([
      ["restorer"],
      "old",
    ]);
  });

  test.each(["sha256sum", "tar", "gzip"])("names %s where it is missing", async (missing) => {
    using dir = tempDir("tools", { bin: {} });
    const tools = "cat chmod cp dirname grep gzip mkdir mktemp mv rm sed sha256sum tar uname wc".split(" ");
    for (const tool of tools.filter((one) => one !== missing))
      symlinkSync(Bun.which(tool) ?? "", dir.join("bin", tool));
    const env = { BASE_URL: release.path, VERSION: "1.0.0", DEST: dir.join("restorer"), PATH: dir.join("bin") };
    const { exitCode, line } = await install(env);
    expect([exitCode, line]).toEqual([1, expect.stringContaining(`install.sh: ${missing} is not here, and `)]);
    expect(readdirSync(dir.path)).toEqual(["bin"]);
  });

  test.each([
    ["a directory as DEST", { BASE_URL: "", DEST: "bin/" }, "bin/ names a directory"],
    ["no BASE_URL", {}, "set BASE_URL"],
    ["a place without a release", { BASE_URL: "/nowhere" }, "cannot get SHA256SUMS from /nowhere"],
    ["several versions and none named", { BASE_URL: "" }, "names several versions; set VERSION"],
    ["a version that is not there", { BASE_URL: "", VERSION: "9.9.9" }, "names no archive of 9.9.9"],
  ])("says what is wrong: %s", async (_, given: Readonly<Record<string, string>>, message) => {
    using dir = tempDir("prefix");
    const env = given["BASE_URL"] === "" ? { ...given, BASE_URL: release.path } : given;
    const { exitCode, line } = await install({ ...env, PREFIX: join(dir.path, "prefix") });
    expect([exitCode, line]).toEqual([1, expect.stringContaining(message)]);
    expect(readdirSync(dir.path)).toEqual([]);
  });
});
