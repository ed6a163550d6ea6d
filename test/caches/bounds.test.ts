// Runs alone: what it has the executable read takes much memory here, too.
import { describe, expect, test } from "bun:test";
import { readdirSync, truncateSync, writeFileSync } from "node:fs";
import { many, manyKeys, runSignalledAt, runWithinBounds } from "../support/bounds.ts";
import { type CacheFixture, diffId, groupToml, makeCache, metadataName } from "../support/cache-fixture.ts";
import { startFaultRegistry, testImage } from "../support/fault-registry.ts";
import { have, skipUnless, type TempDir, tempDir } from "../support/harness.ts";
import { hostileMetadata } from "../support/hostile-metadata.ts";
import { tarOf } from "../support/raw-tar.ts";

interface Scene extends Disposable {
  readonly dir: TempDir;
  readonly cache: CacheFixture;
  readonly args: readonly string[];
  /** Names in the directory of the buildpack `bp`. */
  restored(): string[];
}

/** A cache with layers `l0`, `l1` … of the buildpack `bp`, and a layers directory for it. */
function scene(count = 1): Scene {
  const dir = tempDir("bounds", {
    layers: { "group.toml": groupToml([{ id: "bp", api: "0.12" }]), "analyzed.toml": "", bp: {} },
  });
  const layers = Array.from({ length: count }, (_, at) => ({ name: `l${at}`, tar: emptyLayer(`l${at}`) }));
  const cache = makeCache(dir.join("cache"), [{ id: "bp", layers }]);
  const args = ["-layers", dir.join("layers"), "-cache-dir", cache.path];
  const restored = () => readdirSync(dir.join("layers", "bp")).sort();
  return { dir, cache, args, restored, [Symbol.dispose]: () => dir[Symbol.dispose]() };
}

const emptyLayer = (name: string) => tarOf([{ name: `layers/bp/${name}`, type: "directory" }]);

/** Metadata of a cache with layers that all have the same data, given as JSON. */
function metadataWith(count: number, data: string): string {
  const layer = (at: number) => `"l${at}":{"sha":"${diffId(emptyLayer(`l${at}`))}","cache":true,"data":${data}}`;
  return `{"buildpacks":[{"key":"bp","layers":{${manyKeys(count, layer)}}}]}`;
}

describe("a volume cache whose metadata holds millions of", () => {
  for (const { what, text, says, warns } of hostileMetadata) {
    test(`${what} is not used, and says why`, async () => {
      using made = scene();
      writeFileSync(made.cache.metadataPath, text(4_000_000));
      const { exitCode, stderr } = await runWithinBounds(made.args);
      expect(exitCode).toBe(0);
      expect(stderr).toStartWith(
        warns ?? `Warning: Not using the cache: cannot read cache metadata "${made.cache.metadataPath}": `,
      );
      expect(stderr).toMatch(says);
      expect(stderr.length).toBeLessThan(1000);
      expect(made.restored()).toEqual([]);
    });
  }

  test("bytes more than allowed is not read", async () => {
    using made = scene();
    truncateSync(made.cache.metadataPath, 256 * 1024 * 1024 + 1);
    const { exitCode, stderr } = await runWithinBounds(made.args);
    expect(exitCode).toBe(0);
    expect(stderr).toMatch(
      /^Warning: Not using the cache: cannot read .* is larger than 268435456 bytes, the limit\n$/,
    );
  });
});

/** A key of so many characters above 10,000 tables, each of which repeats it in TOML. */
const longKeys = (length: number) => `{"${"k".repeat(length)}":{${manyKeys(10_000, (at) => `"t${at}":{}`)}}}`;

test("data that becomes much longer in TOML is bounded for all layers together", async () => {
  const layers = 40;
  using made = scene(layers);
  writeFileSync(made.cache.metadataPath, metadataWith(layers, longKeys(800)));
  const { exitCode, stderr } = await runWithinBounds(made.args);
  expect(exitCode).toBe(0);
  const refused = stderr.trimEnd().split("\n");
  expect(refused.length).toBeWithin(1, layers);
  for (const line of refused) {
    expect(line).toMatch(
      /^Warning: Not restoring "bp:l\d+": layer "l\d+", metadata would take more than the 268,435,456 characters allowed as TOML with that of the other layers$/,
    );
  }
  expect(made.restored()).toHaveLength(2 * (layers - refused.length));
});

describe("data of one layer costs that layer alone where it holds", () => {
  const table: readonly (readonly [what: string, data: string, says: string])[] = [
    ["too many values", `[${many("{}", 1_000_000)}]`, "values, more than the 50,000 values allowed"],
    ["too many keys", `{${manyKeys(200_000, (at) => `"k${at}":1`)}}`, "values, more than the 50,000 values allowed"],
    ["too much text", `"${"x".repeat(100_000_000)}"`, "bytes, more than the 4,194,304 bytes allowed"],
    ["too deep a nest", `${"[".repeat(2000)}${"]".repeat(2000)}`, "metadata is nested deeper than 200 levels"],
    ["a long key above many tables", longKeys(100_000), "more than the 8,388,608 characters allowed as TOML"],
    ["half a pair in a value", '{"a":{"b":"\\ud800"}}', "half a surrogate pair, which TOML cannot hold"],
    ["half a pair in a key", '{"\\udc00":1}', "half a surrogate pair, which TOML cannot hold"],
  ];
  test.each(table)("%s", async (_, data, says) => {
    using made = scene(2);
    const good = metadataWith(2, "{}");
    writeFileSync(made.cache.metadataPath, good.replace("{}", data));
    const { exitCode, stderr } = await runWithinBounds(made.args);
    expect(exitCode).toBe(0);
    expect(stderr).toMatch(/^Warning: Not restoring "bp:l0": layer "l0", metadata[^\n]*\n$/);
    expect(stderr).toContain(says);
    expect(made.restored()).toEqual(["l1", "l1.toml"]);
  });
});

describe("the most that is accepted stays within memory, and comes back:", () => {
  const table: readonly (readonly [what: string, layers: number, data: string])[] = [
    ["a thousand layers of 100 kB", 1000, `{${manyKeys(1000, (at) => `"key${at}":"${"v".repeat(80)}"`)}}`],
    ["keys", 60, `{${manyKeys(49_990, (at) => `"k${at}":${at}`)}}`],
    ["long integers", 60, `[${many("1234567890123456789", 49_990)}]`],
    ["tables", 60, `[${many('{"k":1}', 24_990)}]`],
    ["texts that TOML escapes", 60, `"${"\\u0001".repeat(690_000)}"`],
    ["names for where it is meant", 60, `{"exec-env":[${many('"\\u002a"', 49_980)}]}`],
  ];
  test.each(table)("%s", async (_, layers, data) => {
    using made = scene(layers);
    writeFileSync(made.cache.metadataPath, metadataWith(layers, data));
    const { exitCode, stderr } = await runWithinBounds(made.args);
    expect({ exitCode, stderr }).toEqual({ exitCode: 0, stderr: "" });
    expect(made.restored()).toHaveLength(2 * layers);
  });
});

describe("a run that is told to stop while it reads a large metadata file", () => {
  for (const [signal, code] of [
    ["SIGTERM", 143],
    ["SIGINT", 130],
  ] as const) {
    skipUnless(have("strace"), "strace")(`ends with ${code}, in the midst of it`, async () => {
      using made = scene();
      const megabytes = 250;
      writeFileSync(made.cache.metadataPath, metadataWith(1, `"${"x".repeat(megabytes * 1024 * 1024)}"`));
      const { exitCode, reads, stderr } = await runSignalledAt(made.cache.metadataPath, signal, made.args);
      expect({ exitCode, stderr }).toEqual({ exitCode: code, stderr: `Warning: stopped by ${signal}\n` });
      // It reads a megabyte at a time.
      expect(reads).toBeLessThan(megabytes);
      expect(made.restored()).toEqual([]);
    });
  }
});

describe("a cache image whose label holds millions of", () => {
  for (const { what, text, says, warns } of hostileMetadata) {
    test(`${what} is not used, and says why`, async () => {
      using made = scene();
      await using registry = await startFaultRegistry();
      registry.push("cache", "latest", testImage({ labels: { [metadataName]: text(1_000_000) } }));
      const image = `${registry.host}/cache`;
      const { exitCode, stderr } = await runWithinBounds(["-layers", made.dir.join("layers"), "-cache-image", image]);
      expect(exitCode).toBe(0);
      expect(stderr).toStartWith(warns ?? `Warning: Not using the cache: cannot read cache image "${image}": `);
      expect(stderr).toMatch(says);
      expect(made.restored()).toEqual([]);
    });
  }
});
