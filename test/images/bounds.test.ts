// Runs alone: what it has the executable read takes much memory here, too.
import { describe, expect, test } from "bun:test";
import { readdirSync, readFileSync } from "node:fs";
import { many, manyKeys, runWithinBounds } from "../support/bounds.ts";
import { groupToml } from "../support/cache-fixture.ts";
import { digestOf, startFaultRegistry, type TestImage, testImage, testIndex } from "../support/fault-registry.ts";
import { startRestorer, type TempDir, tempDir, writeTree } from "../support/harness.ts";
import { hostileMetadata } from "../support/hostile-metadata.ts";

const pieces = 1_000_000;
const runImage = '[run-image]\nreference = "host.test/run"\nimage = "host.test/run"\nextend = true\n';

function layersIn(analyzed?: string): TempDir {
  const inputs = { "group.toml": groupToml([{ id: "bp" }], [{ id: "ext" }]) };
  return tempDir("bounds", { layers: { ...inputs, ...(analyzed && { "analyzed.toml": analyzed }) } });
}

/** A member of a document that means nothing, and holds too much. */
const stuffings: readonly (readonly [what: string, value: string])[] = [
  ["objects", `[${many("{}", pieces)}]`],
  ["arrays", `[${many("[]", pieces)}]`],
  ["strings", `[${many('""', pieces)}]`],
  ["numbers", `[${many("1", pieces)}]`],
  ["keys", `{${manyKeys(pieces / 4, (at) => `"k${at}":1`)}}`],
  ["levels", `${"[".repeat(pieces)}${"]".repeat(pieces)}`],
];
const refused = /holds about [\d,]+ values, more than the 200,000 values allowed|is nested deeper than 200 levels/;

const parts = ["config", "manifest", "index"] as const;

/** An index over an image for this machine, with too much in one of its documents. */
function hostileIndex(part: (typeof parts)[number], value: string): TestImage {
  const stuffed = (bytes: Uint8Array) => Buffer.from(`{"stuffing":${value},${Buffer.from(bytes).toString().slice(1)}`);
  const changed = (image: TestImage, bytes: Uint8Array) => ({ ...image, bytes, digest: digestOf(bytes) });
  const plain = testImage();
  const config = stuffed([...plain.blobs.values()][0] ?? Buffer.of());
  const images: Record<(typeof parts)[number], () => TestImage> = {
    index: () => plain,
    manifest: () => changed(plain, stuffed(plain.bytes)),
    config: () => {
      const descriptor = {
        mediaType: "application/vnd.oci.image.config.v1+json",
        digest: digestOf(config),
        size: config.length,
      };
      const image = testImage({ editManifest: (manifest) => ({ ...manifest, config: descriptor }) });
      return { ...image, blobs: new Map([[descriptor.digest, config]]) };
    },
  };
  const index = testIndex([{ image: images[part](), platform: { os: "linux", architecture: "amd64" } }]);
  return part === "index" ? changed(index, stuffed(index.bytes)) : index;
}

describe("the label of an app image that holds too many", () => {
  for (const { what, text, says, warns } of hostileMetadata) {
    test(`${what} is not used, and says why`, async () => {
      using dir = layersIn();
      await using registry = await startFaultRegistry();
      const label = "io.buildpacks.lifecycle.metadata";
      registry.push("app", "latest", testImage({ labels: { [label]: text(pieces) } }));
      const args = ["-layers", dir.join("layers"), "-image", `${registry.host}/app`];
      const { exitCode, stderr } = await runWithinBounds(args);
      expect(exitCode).toBe(0);
      expect(stderr).toContain(
        warns ?? `Warning: Not using layer metadata of the app image "${registry.host}/app": label ${label}: `,
      );
      expect(stderr).toMatch(says);
      expect(readdirSync(dir.join("layers"))).toEqual(["group.toml"]);
    });
  }
});

describe("a run image ends the run where one of its documents holds too many", () => {
  for (const [what, value] of stuffings) {
    test(`${what}, in a registry`, async () => {
      await using registry = await startFaultRegistry();
      const name = `${registry.host}/run`;
      for (const part of parts) {
        using dir = layersIn(runImage.replaceAll("host.test/run", name));
        registry.push("run", "latest", hostileIndex(part, value));
        const { exitCode, stderr } = await runWithinBounds(["-layers", dir.join("layers")]);
        expect({ part, exitCode }).toEqual({ part, exitCode: 1 });
        expect(stderr).toMatch(refused);
      }
    });

    test(`${what}, in an OCI layout`, async () => {
      for (const part of parts) {
        using dir = layersIn(runImage);
        const index = hostileIndex(part, value);
        const blobs = index.members.flatMap((member) => [[member.digest, member.bytes] as const, ...member.blobs]);
        const sha256 = Object.fromEntries(blobs.map(([digest, bytes]) => [digest.replace("sha256:", ""), bytes]));
        writeTree(dir.path, {
          layouts: { "host.test": { run: { latest: { "index.json": index.bytes, blobs: { sha256 } } } } },
        });
        const args = ["-layers", dir.join("layers"), "-layout", "-layout-dir", dir.join("layouts")];
        const { exitCode, stderr } = await runWithinBounds(args);
        expect({ part, exitCode }).toEqual({ part, exitCode: 1 });
        expect(stderr).toMatch(refused);
      }
    });

    test(`${what}, in a daemon`, async () => {
      using dir = layersIn(runImage.replace("extend = true\n", ""));
      const answer = `{"Id":"sha256:${"a".repeat(64)}","stuffing":${value}}`;
      const server = Bun.serve({ unix: dir.join("docker.sock"), fetch: () => new Response(answer) });
      const env = { DOCKER_HOST: `unix://${dir.join("docker.sock")}` };
      const { exitCode, stderr } = await runWithinBounds(["-layers", dir.join("layers"), "-daemon"], { env });
      await server.stop(true);
      expect(exitCode).toBe(1);
      expect(stderr).toMatch(refused);
    });
  }
});

describe("a run that is told to stop while the answer of a registry comes in", () => {
  for (const [signal, code] of [
    ["SIGTERM", 143],
    ["SIGINT", 130],
  ] as const) {
    test(`ends with ${code}, and changes nothing`, async () => {
      const value = `[${many("1", 190_000)}]`;
      const index = hostileIndex("config", value);
      const stopped = Promise.withResolvers<() => void>();
      const server = Bun.serve({
        port: 0,
        async fetch(request) {
          const { pathname } = new URL(request.url);
          const member = index.members[0];
          if (pathname.endsWith("/latest"))
            return new Response(Buffer.from(index.bytes), { headers: { "content-type": index.mediaType } });
          if (pathname.includes("/manifests/"))
            return new Response(Buffer.from(member?.bytes ?? []), {
              headers: { "content-type": member?.mediaType ?? "" },
            });
          // The signal is on its way before the last byte of the config is.
          (await stopped.promise)();
          return new Response(Buffer.from([...(member?.blobs.values() ?? [])][0] ?? []));
        },
      });
      const analyzed = runImage.replaceAll("host.test/run", `127.0.0.1:${server.port}/run`);
      using dir = layersIn(analyzed);
      const run = startRestorer(["-layers", dir.join("layers")]);
      stopped.resolve(() => run.kill(signal));
      const { exitCode, stderr } = await run.result;
      await server.stop(true);
      expect({ exitCode, stderr }).toMatchObject({ exitCode: code });
      expect(stderr).toEndWith(`Warning: stopped by ${signal}\n`);
      expect(readFileSync(dir.join("layers", "analyzed.toml"), "utf8")).toBe(analyzed);
    });
  }
});
