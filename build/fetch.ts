/**
 * `bun build/fetch.ts bun|glibc x64|arm64`: sees to it that what a release needs for a machine is there, as pinned, and
 * prints where: the Bun executable, or the directory with glibc's libraries.
 *
 * Bun for another machine is not a dependency: `npm ci` leaves it out, and stays quick. But the lockfile knows its version and
 * integrity, since package `bun` names it as optional, and npm fetches it from whatever registry the user has set.
 */
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { basename, join, resolve } from "node:path";
import { parse, picklist } from "valibot";
import { bunPackage, type Machine, machineSchema, pins, project } from "./pins.ts";

/** Kept between builds. */
const downloads = resolve(process.env["DOWNLOADS"] || join(project, "tmp/downloads"));

const things = {
  async bun(machine: Machine): Promise<string> {
    const { name, version, integrity } = bunPackage(machine);
    const installed = join(project, "node_modules", name, "bin/bun");
    if (existsSync(installed)) return installed;
    const directory = join(downloads, `${name.replace("@oven/", "")}-${version}`);
    await once(directory, (fresh) => {
      run("npm", "pack", `${name}@${version}`, "--silent", "--pack-destination", fresh);
      const archive = join(fresh, `${name.replace("@", "").replace("/", "-")}-${version}.tgz`);
      verify(archive, integrity);
      run("tar", "-xzf", archive, "-C", fresh, "--strip-components=1");
      rmSync(archive);
    });
    return join(directory, "bin/bun");
  },

  async glibc(machine: Machine): Promise<string> {
    const { path, sha256 } = pins.glibc.packages[machine];
    const directory = join(downloads, basename(path, ".deb"));
    await once(directory, async (fresh) => {
      const archive = join(fresh, basename(path));
      writeFileSync(archive, await fromDebian(path));
      verify(archive, `sha256-${Buffer.from(sha256, "hex").toString("base64")}`);
      run("dpkg-deb", "-x", archive, fresh);
      rmSync(archive);
    });
    return join(directory, "lib", `${machine === "x64" ? "x86_64" : "aarch64"}-linux-gnu`);
  },
};

/** Makes a directory whole or not at all; one that is there already is left as it is. */
async function once(directory: string, make: (fresh: string) => void | Promise<void>): Promise<void> {
  if (existsSync(directory)) return;
  mkdirSync(downloads, { recursive: true });
  const fresh = mkdtempSync(`${directory}.`);
  try {
    await make(fresh);
    // Another build may have been quicker.
    if (!existsSync(directory)) renameSync(fresh, directory);
  } finally {
    rmSync(fresh, { recursive: true, force: true });
  }
}

async function fromDebian(path: string): Promise<Uint8Array> {
  const tried: string[] = [];
  for (const base of [process.env["DEBIAN_MIRROR"] ?? [], pins.debian].flat()) {
    const url = `${base}/${path}`;
    const answer = await fetch(url).catch((error: unknown) => String(error));
    if (answer instanceof Response && answer.ok) return answer.bytes();
    tried.push(`${url}: ${answer instanceof Response ? answer.status : answer}`);
  }
  throw new Error(`nobody has ${basename(path)}; set DEBIAN_MIRROR to where Debian's pool/ is\n${tried.join("\n")}`);
}

function verify(file: string, integrity: string): void {
  const [algorithm = "", expected] = integrity.split(/-(.*)/s);
  const found = createHash(algorithm).update(readFileSync(file)).digest("base64");
  if (found !== expected) throw new Error(`${basename(file)} has the ${algorithm} ${found}, expected ${expected}`);
}

function run(...argv: string[]): void {
  const { exitCode, stderr } = Bun.spawnSync(argv, { cwd: project, stdin: "ignore", stdout: "ignore", stderr: "pipe" });
  if (exitCode !== 0) throw new Error(`${argv.join(" ")}: exit code ${exitCode}: ${stderr}`);
}

try {
  const [thing, machine] = process.argv.slice(2);
  console.log(await things[parse(picklist(["bun", "glibc"]), thing)](parse(machineSchema, machine)));
} catch (error) {
  console.error(error instanceof Error ? error.message : error);
  process.exit(1);
}
