import { describe, expect, test } from "bun:test";
import { cpSync, readFileSync, symlinkSync } from "node:fs";
import { resolve } from "node:path";
import { archiveOf, sumsOf } from "../../build/archive.ts";
import { bundledFor, licencesOf } from "../../build/bundled.ts";
import { machines, release } from "../../build/pins.ts";
import { sbomOf } from "../../build/sbom.ts";
import { have, skipUnless, tempDir } from "../support/harness.ts";

const project = resolve(import.meta.dir, "../..");
/** Stands for an executable: one of the real size takes seconds to compress. */
const executable = Buffer.from("#!/bin/sh\necho restorer 9.9.9\n");

for (const machine of machines) {
  const { name, bytes } = archiveOf(machine, executable);
  const root = name.replace(".tar.gz", "");

  skipUnless(have("tar"), "tar")(`the archive for ${machine} holds the executable and what must go with it`, () => {
    using dir = tempDir("archive", { [name]: bytes });
    const list = Bun.spawnSync(["tar", "--numeric-owner", "-tvzf", name], { cwd: dir.path, env: { TZ: "UTC" } });
    const lines = list.stdout.toString().trim().split("\n");
    expect(lines.map((line) => line.replace(/^(\S+) (\S+) +\d+ (\S+ \S+) (.*)$/, "$1 $2 $3 $4"))).toEqual([
      `drwxr-xr-x 0/0 1980-01-01 00:00 ${root}/`,
      `-rwxr-xr-x 0/0 1980-01-01 00:00 ${root}/restorer`,
      ...[
        "LICENSE",
        "NOTICES.txt",
        "LGPL-2.1.txt",
        "glibc-copyright.txt",
        "restorer.sbom.cdx.json",
        "package.json",
      ].map((file) => `-rw-r--r-- 0/0 1980-01-01 00:00 ${root}/${file}`),
    ]);
    expect(Bun.spawnSync(["tar", "-xzf", name], { cwd: dir.path }).exitCode).toBe(0);
    expect(readFileSync(dir.join(`${root}/restorer`)).equals(executable)).toBe(true);
    const notices = readFileSync(dir.join(`${root}/NOTICES.txt`), "utf8");
    for (const { name, version, ref } of bundledFor(machine)) {
      expect(notices).toContain(`${name} ${version}`);
      if (ref.startsWith("node_modules/")) expect(notices).toContain(`=== ${name} ${version}\n`);
    }
    expect(notices).toMatch(/\/pool\/main\/g\/glibc\/glibc_2\.\d+-\S+\.dsc\n/);
  });

  test(`the bill of materials for ${machine} names what is compiled in, the runtime and glibc, and how they depend`, () => {
    const bom = JSON.parse(sbomOf(machine, executable));
    const sum = new Bun.CryptoHasher("sha256").update(executable).digest("hex");
    expect(bom.metadata.component).toMatchObject({ name: "restorer", hashes: [{ alg: "SHA-256", content: sum }] });
    const purls = bom.components.map(({ purl }: { purl: string }) => purl).join("\n");
    expect(purls).toMatch(/^pkg:npm\/valibot@/m);
    expect(purls).toContain(`pkg:npm/%40oven/bun-linux-${machine === "x64" ? "x64" : "aarch64"}@`);
    expect(purls).toMatch(machine === "x64" ? /^pkg:deb\/\S+\?arch=amd64&/m : /^pkg:deb\/\S+\?arch=arm64&/m);
    expect(purls).not.toMatch(/biome|typescript|fast-check/);

    const refs = ["restorer", ...bom.components.map((one: Record<string, string>) => one["bom-ref"])];
    const needed: string[] = bom.dependencies.flatMap(({ dependsOn }: { dependsOn: string[] }) => dependsOn);
    expect(bom.dependencies.map(({ ref }: { ref: string }) => ref)).toEqual(refs);
    expect([...new Set(["restorer", ...needed])].sort()).toEqual(refs.sort());
  });
}

test("the terms of all parts are one expression, in which each stands once", () => {
  const licences = licencesOf("x64").split(" AND ");
  expect(licences).toEqual([...new Set(licences)].sort());
  for (const one of ["Apache-2.0", "LGPL-2.0-or-later", "LGPL-2.1-or-later", "MIT"]) expect(licences).toContain(one);
});

skipUnless(have("sha256sum"), "sha256sum")("sha256sum checks the sums", () => {
  const archives = [...machines].map((machine) => archiveOf(machine, executable));
  using dir = tempDir("sums", { SHA256SUMS: sumsOf(archives) });
  for (const { name, bytes } of archives) Bun.write(dir.join(name), bytes);
  const { exitCode, stdout } = Bun.spawnSync(["sha256sum", "-c", "SHA256SUMS"], { cwd: dir.path });
  expect([exitCode, stdout.toString()]).toEqual([0, archives.map(({ name }) => `${name}: OK\n`).join("")]);
});

describe("the same bytes come of the same parts, wherever and by whomever they are put together", () => {
  const script = `
    const [{ archiveOf, sumsOf }, { layoutOf }] = await Promise.all([import("./build/archive.ts"), import("./build/oci-image.ts")]);
    const executable = Buffer.from("an executable");
    const layout = layoutOf(new Map([["x64", executable], ["arm64", executable]]), "abc");
    console.log(sumsOf([archiveOf("x64", executable), archiveOf("arm64", executable)]), [...layout.keys()].join("\\n"));
  `;

  function sums(directory: string, umask: string, env: Readonly<Record<string, string>>): string {
    const argv = ["sh", "-c", `umask ${umask} && exec "$@"`, "sh", process.execPath, "-e", script];
    const { stdout, stderr } = Bun.spawnSync(argv, { cwd: directory, env: { ...process.env, ...env } });
    return `${stdout}${stderr}`;
  }

  test("archives and image", () => {
    using dir = tempDir("elsewhere");
    for (const name of ["build", "LICENSE", "package.json", "package-lock.json"])
      cpSync(resolve(project, name), dir.join(name), { recursive: true });
    symlinkSync(resolve(project, "node_modules"), dir.join("node_modules"));
    const here = sums(project, "022", { TZ: "UTC", LC_ALL: "C" });
    expect(here).toContain(`restorer-${release.version}-linux-arm64.tar.gz`);
    expect(sums(dir.path, "077", { TZ: "Asia/Tokyo", LC_ALL: "de_DE.UTF-8", USER: "nobody" })).toBe(here);
  });

  test("the self-contained file", () => {
    const plain = resolve(project, "dist/plain/restorer");
    using dir = tempDir("packed");
    const argv = [process.execPath, resolve(project, "build/self-contained.ts"), plain, dir.join("restorer")];
    expect(Bun.spawnSync(argv, { cwd: dir.path }).exitCode).toBe(0);
    expect(readFileSync(dir.join("restorer")).equals(readFileSync(resolve(project, "dist/restorer")))).toBe(true);
  });
});

skipUnless(have("npm") && have("npx"), "npm, npx")("npm takes the archive as a package, and npx runs it", () => {
  const machine = process.arch === "arm64" ? "arm64" : "x64";
  const { name, bytes } = archiveOf(machine, executable);
  using dir = tempDir("npm", { [name]: bytes, project: { "package.json": "{}" } });
  const env = {
    PATH: process.env.PATH,
    HOME: dir.path,
    npm_config_cache: dir.join("cache"),
    npm_config_offline: "true",
  };
  const run = (...argv: string[]) => {
    const { exitCode, stdout, stderr } = Bun.spawnSync(argv, { cwd: dir.join("project"), env });
    return { exitCode, said: `${stdout}${exitCode === 0 ? "" : stderr}` };
  };
  const said = { exitCode: 0, said: "restorer 9.9.9\n" };
  expect(run("npx", "--yes", `file:${dir.join(name)}`, "-version")).toEqual(said);
  expect(run("npm", "install", "--silent", `file:${dir.join(name)}`)).toMatchObject({ exitCode: 0 });
  expect(run("npx", "restorer", "-version")).toEqual(said);
  expect(run(process.execPath, "x", "restorer", "-version")).toEqual(said);
});
