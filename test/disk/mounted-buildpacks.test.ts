import { describe, expect } from "bun:test";
import { chownSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { stamps } from "../support/canary.ts";
import { skipUnless } from "../support/harness.ts";
import { canMount, runWithMounts } from "../support/mounts.ts";
import { plantingScene } from "../support/planting-scene.ts";

const withMounts = skipUnless(canMount, "root who may mount (unshare)");
const nobody = 65534;

describe("a buildpack's directory that is a mount", () => {
  withMounts("of somebody else ends the run with what to do, and keeps its owner", async () => {
    using here = plantingScene();
    mkdirSync(join(here.layers, "example_app"));
    chownSync(here.canary, 7, 7);
    const before = stamps(here.canary);
    const { exitCode, stderr } = await runWithMounts(
      [[here.canary, join(here.layers, "example_app")]],
      ["-layers", here.layers, "-cache-dir", here.join("cache"), "-uid", String(nobody), "-gid", String(nobody)],
    );
    expect({ exitCode, after: stamps(here.canary) }).toEqual({ exitCode: 42, after: before });
    expect(stderr).toContain(`example_app" to user ${nobody}: something is mounted there`);
    expect(stderr).toContain('example_app": permission denied');
    expect(stderr).toContain("keeps its owner: make it writable for the user the restorer runs as");
  });

  withMounts("of the user's own gets its layers", async () => {
    using here = plantingScene();
    mkdirSync(join(here.layers, "example_app"));
    mkdirSync(here.join("volume"));
    chownSync(here.join("volume"), nobody, nobody);
    const { exitCode } = await runWithMounts(
      [[here.join("volume"), join(here.layers, "example_app")]],
      ["-layers", here.layers, "-cache-dir", here.join("cache"), "-uid", String(nobody), "-gid", String(nobody)],
    );
    expect(exitCode).toBe(0);
    expect(readFileSync(here.join("volume/dist/data"), "utf8")).toBe("good");
  });
});

describe("in the place of a buildpack's directory", () => {
  const things: Readonly<Record<string, (path: string) => void>> = {
    "a fifo": (path) => void Bun.spawnSync(["mkfifo", path]),
    "a socket": (path) => void Bun.listen({ unix: path, socket: { data() {} } }).unref(),
    "a device": (path) => void Bun.spawnSync(["mknod", path, "c", "1", "3"]),
  };
  for (const [what, make] of Object.entries(things)) {
    for (const user of [[], ["-uid", String(nobody), "-gid", String(nobody)]]) {
      const who = user.length === 0 ? "" : ", also by the user it becomes";
      withMounts(`${what} that is mounted stays, and its layers are refused with the reason${who}`, async () => {
        using here = plantingScene();
        const place = join(here.layers, "example_app");
        writeFileSync(place, "");
        make(here.join("thing"));
        const before = stamps(here.join("thing"));
        const args = ["-layers", here.layers, "-cache-dir", here.join("cache")];
        const mounts = [[here.join("thing"), place]] as const;
        const { exitCode, stdout, stderr } = await runWithMounts(mounts, [...args, "-report", "-", ...user]);
        expect({ exitCode, after: stamps(here.join("thing")) }).toEqual({ exitCode: 0, after: before });
        expect(stderr).not.toMatch(/remov/i);
        const reason = `something is mounted at "${place}", so that what stands there cannot be replaced`;
        const told = stderr.split("\n").filter((line) => line.endsWith(reason));
        expect(told.sort()).toEqual([
          `Warning: Not restoring "example/app:dist": ${reason}`,
          `Warning: Not restoring "example/app:web": ${reason}`,
          `Warning: Not restoring store.toml of buildpack "example/app": ${reason}`,
        ]);
        const refused = { outcome: "refused", code: "place-taken", reason };
        expect(JSON.parse(stdout).layers).toMatchObject([refused, refused]);
        // And explain foresees it.
        const explained = await runWithMounts(mounts, ["explain", ...args, "-output", "json"]);
        const foreseen = { action: "refuse", code: "place-taken", reason, writes: [], removes: [] };
        expect(JSON.parse(explained.stdout).layers).toMatchObject([foreseen, foreseen]);
      });
    }
  }
});

describe("a file of a layer whose contents stay in the app image", () => {
  const places: readonly (readonly [place: string, standing: readonly string[]])[] = [
    ["web.toml", ["web.toml"]],
    ["web.sbom.spdx.json", ["web.sbom.spdx.json", "web.toml"]],
    ["web.sbom.spdx.json", ["web.sbom.spdx.json"]],
    ["store.toml", ["store.toml"]],
  ];
  for (const [place, standing] of places) {
    withMounts(`that is mounted stays (${place} of ${standing.join(", ")}), which costs no other layer`, async () => {
      using here = plantingScene();
      const directory = join(here.layers, "example_app");
      mkdirSync(directory);
      for (const name of standing) writeFileSync(join(directory, name), "");
      const before = stamps(join(here.canary, "file"));
      const args = ["-layers", here.layers, "-cache-dir", here.join("cache")];
      const mounts = [[join(here.canary, "file"), join(directory, place)]] as const;
      const explained = await runWithMounts(mounts, ["explain", ...args, "-output", "json"]);
      const { exitCode, stdout, stderr } = await runWithMounts(mounts, [...args, "-report", "-"]);
      expect({ exitCode, after: stamps(join(here.canary, "file")) }).toEqual({ exitCode: 0, after: before });
      const what = place === "store.toml" ? 'store.toml of buildpack "example/app"' : '"example/app:web"';
      const reason = `something is mounted at "${join(directory, place)}", so that what stands there cannot be replaced`;
      expect(stderr.split("\n").filter((line) => line.includes("is mounted"))).toEqual([
        `Warning: Not restoring ${what}: ${reason}`,
      ]);
      const web =
        place === "store.toml" ? { outcome: "metadata" } : { outcome: "refused", code: "place-taken", reason };
      expect(JSON.parse(stdout).layers).toMatchObject([{ outcome: "restored" }, web]);
      for (const name of standing) if (name !== place) expect(readFileSync(join(directory, name), "utf8")).toBe("");
      if (place === "store.toml" || !standing.includes("web.toml")) return;
      expect(JSON.parse(explained.stdout).layers[1]).toMatchObject({ action: "refuse", code: "place-taken", reason });
    });
  }
});
