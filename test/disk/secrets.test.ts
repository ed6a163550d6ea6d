import { describe, expect, test } from "bun:test";
import { chmodSync, lchownSync, mkdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { groupToml } from "../support/cache-fixture.ts";
import { isRoot, type RunResult, skipUnless } from "../support/harness.ts";
import { type PlantingScene, plantingScene, restore } from "../support/planting-scene.ts";

const withRoot = skipUnless(isRoot, "root");
const secret = "hunter2-secret";
const metadataName = "cache/committed/io.buildpacks.lifecycle.cache.metadata";
const metadata = '[metadata]\nbuildpacks = [{ key = "example/app"';

/** What a root-only file may hold, and which messages would quote of it. */
const places: Readonly<Record<string, readonly [what: string, text: string, exitCode: number][]>> = {
  "analyzed.toml": [
    ["a value of the wrong type", `image = "${secret}"`, 0],
    ["a key with a value of the wrong type", `${metadata}, layers = { ${secret} = 1 } }]`, 0],
    ["a layer's key with a value of the wrong type", `${metadata}, layers = { a.sha = 5, "${secret}".sha = 1 } }]`, 0],
    ["a line that is not TOML", `root:${secret}:0:0\n`, 0],
    ["bytes that are not text", Buffer.from([0x80, 0x81]).toString("latin1") + secret, 0],
    ["a run image that is not a reference", `[run-image]\nextend = true\nreference = "${secret}!"\n`, 0],
    ["a run image that is a URL", `[run-image]\nextend = true\nimage = "https://user:${secret}@host/app"\n`, 0],
    ["a digest that is not one", `${metadata}, layers = { dist = { sha = "${secret}", launch = true } } }]`, 0],
  ],
  "group.toml": [
    ["a value of the wrong type", `group = "${secret}"`, 1],
    ["a Buildpack API", `[[group]]\nid = "x"\napi = "${secret}"\n`, 12],
    ["a buildpack without an API", `[[group]]\nid = "${secret}"\n`, 12],
    ["a line that is not TOML", `root:${secret}:0:0\n`, 1],
  ],
  "run.toml": [
    ["a value of the wrong type", `images = "${secret}"`, 1],
    ["a name that is not a reference", `[[images]]\nimage = "${secret}!"\nmirrors = []\n`, 1],
    ["a mirror that is not a reference", `[[images]]\nimage = "a/b"\nmirrors = ["${secret} x"]\n`, 1],
  ],
  [metadataName]: [
    ["text that is not JSON", secret, 0],
    ["a value of the wrong type", `{"buildpacks": "${secret}"}`, 0],
    ["a key with a value of the wrong type", `{"buildpacks":[{"layers":{"${secret}": 1}}]}`, 0],
    ["a layer with a value of the wrong type", `{"buildpacks":[{"key":"example/app","layers":{"${secret}": 1}}]}`, 0],
    ["a buildpack with a value of the wrong type", `{"buildpacks":[{"key":"${secret}","layers":[]}]}`, 0],
    ["an entry that is nobody's", `{"buildpacks":["${secret}"]}`, 0],
    ["a digest that is not one", `{"sbom":{"sha":"${secret}"},"buildpacks":[]}`, 0],
    [
      "a layer's digest that is not one",
      `{"buildpacks":[{"key":"example/app","layers":{"dist":{"sha":"${secret}","cache":true}}}]}`,
      0,
    ],
  ],
};

function run(here: PlantingScene): Promise<RunResult> {
  const args = ["-log-level", "debug", "-run", join(here.layers, "run.toml"), "-report", here.join("report.json")];
  return restore(here, args);
}

function pathOf(here: PlantingScene, place: string): string {
  return place === metadataName ? here.join(place) : join(here.layers, place);
}

describe("a file that not everybody may read", () => {
  for (const [place, texts] of Object.entries(places)) {
    for (const [what, text, exitCode] of texts) {
      withRoot(`is not quoted by root, be it a link's target or not: ${place}, ${what}`, async () => {
        using here = plantingScene();
        if (place === "run.toml") {
          writeFileSync(join(here.layers, "analyzed.toml"), '[run-image]\nreference = "127.0.0.1:1/x"\n');
        }
        const path = pathOf(here, place);
        for (const isLink of [true, false]) {
          const target = isLink ? join(here.canary, "closed") : path;
          rmSync(path, { force: true });
          writeFileSync(target, text);
          chmodSync(target, 0o640);
          if (isLink) symlinkSync(target, path);
          const { stdout, stderr, exitCode: ended } = await run(here);
          expect(stdout + stderr).not.toContain(secret);
          expect(readFileSync(here.join("report.json"), "utf8")).not.toContain(secret);
          expect({ isLink, ended }).toEqual({ isLink, ended: exitCode });
        }
      });
    }
  }

  test("that everybody may read is quoted where it helps, and so is one by a user who may read it", async () => {
    using here = plantingScene();
    writeFileSync(join(here.layers, "group.toml"), '[[group]]\nid = "x"\napi = "9.9"\n');
    chmodSync(join(here.layers, "group.toml"), isRoot ? 0o644 : 0o600);
    expect((await restore(here)).stderr).toContain('"9.9"');
  });

  withRoot("and is right is used as any other", async () => {
    using here = plantingScene();
    for (const name of ["group.toml", "analyzed.toml"]) chmodSync(join(here.layers, name), 0o600);
    chmodSync(here.join(metadataName), 0o600);
    expect(await restore(here)).toMatchObject({ exitCode: 0, stderr: "" });
  });

  for (const user of ["root", "the user it becomes"]) {
    withRoot(`does not have its digest told, as a link in a cache, by ${user}`, async () => {
      using here = plantingScene();
      writeFileSync(join(here.layers, "group.toml"), groupToml([{ id: "example/app" }]));
      const sha = JSON.parse(readFileSync(here.join(metadataName), "utf8")).buildpacks[0].layers.dist.sha;
      const blob = here.join("cache/committed", `${sha}.tar`);
      const digest = new Bun.CryptoHasher("sha256").update("secret").digest("hex");
      for (const isLink of [true, false]) {
        rmSync(blob);
        if (isLink) symlinkSync(join(here.canary, "closed"), blob);
        else writeFileSync(blob, "secret", { mode: 0o600 });
        const own = user === "root" ? [] : ["-uid", "65534", "-gid", "65534"];
        const { exitCode, stdout, stderr } = await restore(here, ["-log-level", "debug", ...own]);
        expect({ exitCode, told: /Not restoring "example\/app:dist": .* another digest/.test(stderr) }).toEqual({
          exitCode: 0,
          told: true,
        });
        expect(stdout + stderr).not.toContain(digest);
      }
    });
  }

  withRoot(
    "is not used at all where somebody else's link leads there: what is made of it everybody can read",
    async () => {
      using here = plantingScene();
      const path = join(here.layers, "analyzed.toml");
      const content = readFileSync(path, "utf8").replace('kept = "store"', `kept = "${secret}"`);
      expect(content).toContain(secret);
      const target = join(here.canary, "closed");
      writeFileSync(target, content);
      chmodSync(target, 0o600);
      rmSync(path);
      symlinkSync(target, path);
      lchownSync(path, 65534, 65534);
      const { stderr, exitCode } = await run(here);
      expect({ exitCode, told: stderr.includes("a link or hard link that is not root's") }).toEqual({
        exitCode: 0,
        told: true,
      });
      const found = Bun.spawnSync(["grep", "-r", "-l", secret, here.layers]).stdout.toString();
      expect(found).toBe("");
    },
  );

  withRoot("for the directory in which it really lies is not quoted either", async () => {
    using here = plantingScene();
    const path = join(here.layers, "analyzed.toml");
    mkdirSync(here.join("closed"), { mode: 0o700 });
    writeFileSync(here.join("closed/file"), `root:${secret}:0:0\n`);
    chmodSync(here.path, 0o755);
    rmSync(path);
    symlinkSync(here.join("closed/file"), path);
    const { stdout, stderr } = await run(here);
    expect(stdout + stderr).not.toContain(secret);
    expect(stderr).toContain("Not using analyzed data");
  });
});
