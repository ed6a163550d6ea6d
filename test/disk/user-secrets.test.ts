import { describe, expect } from "bun:test";
import { chmodSync, chownSync, lchownSync, linkSync, mkdirSync, renameSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { isRoot, skipUnless } from "../support/harness.ts";
import { type PlantingScene, plantingScene, restore } from "../support/planting-scene.ts";

const withRoot = skipUnless(isRoot, "root");
const user = 12345;
const stranger = 12346;
const secret = "hunter2-secret";

/** Malformed at line 2, column 3, and nobody else's but the user's. */
function scene(name: string): PlantingScene & { readonly file: string } {
  const here = plantingScene();
  chmodSync(here.path, 0o755);
  if (name === "run.toml")
    writeFileSync(join(here.layers, "analyzed.toml"), '[run-image]\nreference = "127.0.0.1:1/x"\n');
  const file = join(here.layers, name);
  writeFileSync(file, `# A comment\nx ! ${secret}\n`);
  chmodSync(file, 0o600);
  chownSync(file, user, user);
  return Object.assign(here, { file });
}

async function toldBy(here: PlantingScene, as: readonly string[] = ["-uid", `${user}`, "-gid", `${user}`]) {
  const { stdout, stderr } = await restore(here, ["-run", join(here.layers, "run.toml"), ...as]);
  return stdout + stderr;
}

describe("what is wrong with a file that not everybody may read, but the user who root becomes,", () => {
  for (const name of ["group.toml", "analyzed.toml", "run.toml"]) {
    withRoot(`is told with line and column: ${name}`, async () => {
      using here = scene(name);
      expect(await toldBy(here)).toContain(`${here.file}:2:3: `);
      chownSync(here.file, 0, user);
      chmodSync(here.file, 0o640);
      expect(await toldBy(here)).toContain(`${here.file}:2:3: `);
    });
  }

  const moved = (here: PlantingScene & { readonly file: string }, mode: number) => {
    mkdirSync(here.join("closed"));
    renameSync(here.file, here.join("closed/file"));
    chmodSync(here.join("closed"), mode);
    symlinkSync(here.join("closed/file"), here.file);
  };

  withRoot("is told where root's link leads to it through directories that the user may enter", async () => {
    using here = scene("group.toml");
    moved(here, 0o711);
    expect(await toldBy(here)).toContain(`${here.file}:2:3: `);
  });

  const doubts: readonly [what: string, change: (here: PlantingScene & { readonly file: string }) => void][] = [
    ["the file is root's", ({ file }) => chownSync(file, 0, 0)],
    ["the file is somebody else's", ({ file }) => chownSync(file, stranger, stranger)],
    [
      "its group may read it, and is another one",
      ({ file }) => {
        chownSync(file, 0, stranger);
        chmodSync(file, 0o640);
      },
    ],
    ["its owner may not read it", ({ file }) => chmodSync(file, 0o240)],
    ["a directory above is closed to the user", (here) => moved(here, 0o700)],
    ["it has another name", (here) => linkSync(here.file, here.join("other"))],
    [
      "somebody else's link leads there",
      (here) => {
        moved(here, 0o711);
        lchownSync(here.file, stranger, stranger);
      },
    ],
  ];
  for (const [what, change] of doubts) {
    withRoot(`is not told where ${what}`, async () => {
      for (const name of ["group.toml", "analyzed.toml", "run.toml"]) {
        using here = scene(name);
        change(here);
        const told = await toldBy(here);
        expect(told).toMatch(
          /"[^"]+": it cannot be used, and the reason is not told, because not everybody may read it|a link or hard link that is not root's/,
        );
        expect(told).not.toContain(":2:3");
        expect(told).not.toContain(secret);
      }
    });
  }

  withRoot("is not told where root stays root", async () => {
    using here = scene("group.toml");
    for (const as of [[], ["-gid", `${user}`]]) expect(await toldBy(here, as)).not.toContain(":2:3");
  });
});
