import { describe, expect, test } from "bun:test";
import { readFileSync, truncateSync, unlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expectPlain, layerTree, type Scene, scene } from "../cli/scene.ts";
import { type FaultRegistry, startFaultRegistry } from "../support/fault-registry.ts";
import { type RunResult, removeTree, runRestorer } from "../support/harness.ts";
import { hostileMetadata } from "../support/hostile-metadata.ts";

/** What each command ends with. */
interface Exits {
  readonly explain: number;
  readonly inspect: number;
  readonly layer: number;
  readonly verify: number;
  readonly diff: number;
  readonly next: number;
}

interface State {
  readonly what: string;
  readonly make?: (made: Scene) => void;
  /** Instead of the cache directory. */
  readonly cache?: (registry: FaultRegistry) => string;
  readonly exits: Exits;
  /** Codes of failures, and what text says of it, each where the exit code is not 0. */
  readonly codes: readonly string[];
  readonly says: RegExp;
}

const fine: Exits = { explain: 0, inspect: 0, layer: 0, verify: 0, diff: 0, next: 0 };
const unusable: Exits = { explain: 0, inspect: 1, layer: 1, verify: 1, diff: 1, next: 1 };
const controls = "a\u001b[31m\u202eb\nc";

const states: readonly State[] = [
  { what: "a healthy cache", exits: fine, codes: [], says: /one/ },
  {
    what: "an empty cache",
    make: ({ cache }) => removeTree(cache.committed),
    exits: { ...fine, layer: 3 },
    codes: ["no-such-layer"],
    says: /nothing yet|no layer is called|There are no layers/,
  },
  {
    what: "an absent cache",
    make: ({ cache }) => removeTree(cache.path),
    exits: unusable,
    codes: ["no-cache"],
    says: /no such file or directory/,
  },
  {
    what: "a blob that is missing",
    make: ({ cache }) => unlinkSync(cache.blob("bp", "one")),
    exits: { ...fine, layer: 1, verify: 42 },
    codes: ["blob-unavailable"],
    says: /no such file or directory/,
  },
  {
    what: "a blob that is corrupt",
    make: ({ cache }) => {
      const path = cache.blob("bp", "one");
      const bytes = readFileSync(path);
      bytes[1024] = (bytes[1024] ?? 0) ^ 1;
      writeFileSync(path, bytes);
    },
    exits: { ...fine, layer: 42, verify: 42 },
    codes: ["blob-unusable"],
    says: /has the digest/,
  },
  {
    what: "a blob that is cut off",
    make: ({ cache }) => truncateSync(cache.blob("bp", "one"), 2048),
    exits: { ...fine, layer: 42, verify: 42 },
    codes: ["blob-unusable"],
    says: /ends early/,
  },
  {
    what: "an orphan blob",
    make: ({ cache }) => writeFileSync(join(cache.committed, `sha256:${"0".repeat(64)}.tar`), "x"),
    exits: fine,
    codes: [],
    says: /one/,
  },
  {
    what: "metadata that is not JSON",
    make: ({ cache }) => writeFileSync(cache.metadataPath, '{"buildpacks":['),
    exits: unusable,
    codes: ["cache-unusable"],
    says: /cannot read cache metadata/,
  },
  {
    what: "metadata beyond all bounds",
    make: ({ cache }) => {
      const hostile = hostileMetadata.find(({ what }) => what === "one layer more than allowed");
      writeFileSync(cache.metadataPath, hostile?.text(0) ?? "");
    },
    exits: unusable,
    codes: ["cache-unusable"],
    says: /10,001 layers/,
  },
  {
    what: "names with control characters, and names that lead elsewhere",
    make: ({ cache }) => {
      const layer = { sha: controls, cache: true, data: { [controls]: controls } };
      const layers = { one: layer, [controls]: layer, "../../out": layer, __proto__x: layer };
      const buildpacks = [
        { key: "bp", version: controls, layers },
        { key: `../${controls}`, layers },
      ];
      writeFileSync(cache.metadataPath, JSON.stringify({ sbom: { sha: controls }, buildpacks }));
    },
    exits: { ...fine, layer: 1, verify: 42, diff: 1 },
    codes: ["no-digest"],
    says: /digest/,
  },
  {
    what: "a registry that refuses",
    cache: ({ host }) => `${host}/cache`,
    exits: unusable,
    codes: ["cache-unusable"],
    says: /403/,
  },
];

/** Whether text holds what would do something to a terminal. */
const isSafe = (text: string) => !/[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e]/.test(text);

function expectText({ stdout, stderr }: RunResult, what: string): void {
  expectPlain({ stdout, stderr });
  expect({ what, isSafe: isSafe(stdout + stderr) }).toEqual({ what, isSafe: true });
}

describe.each(states.map((state) => [state.what, state] as const))("the desk, with %s:", (_, state) => {
  test("each command ends with its code, in text that is safe, and in JSON with the code of the trouble", async () => {
    using made = scene({
      layers: ["one", "two"],
      standing: { bp: { one: layerTree, "one.toml": "[types]\ncache=true\n" } },
    });
    using other = scene({ layers: ["one", "two"] });
    const status = { kind: "status", status: 403 } as const;
    await using registry = await startFaultRegistry({ rules: [{ path: /./, fault: status }] });
    state.make?.(made);
    const cache = state.cache?.(registry) ?? made.cache.path;
    const named = state.cache === undefined ? ["-cache-dir", cache] : ["-cache-image", cache];
    const commands: Readonly<Record<keyof Exits, readonly string[]>> = {
      explain: ["explain", "-layers", made.layers, ...named],
      inspect: ["inspect", cache],
      layer: ["inspect", cache, "bp:one"],
      verify: ["verify", cache],
      diff: ["diff", other.cache.path, cache],
      next: ["diff", cache, `layers:${made.layers}`],
    };
    const runs = Object.entries(commands).map(async ([name, args]) => {
      const [text, json] = await Promise.all([runRestorer(args), runRestorer([...args, "-output", "json"])]);
      return [name, text, json] as const;
    });
    let said = "";
    for (const [name, text, json] of await Promise.all(runs)) {
      const exitCode = state.exits[name as keyof Exits];
      expect({ name, text: text.exitCode, json: json.exitCode }).toEqual({ name, text: exitCode, json: exitCode });
      expectText(text, name);
      expectText(json, name);
      said += text.stdout + text.stderr;
      const document: Record<string, unknown> & { error?: { code: string } } = JSON.parse(json.stdout);
      expect(document).toMatchObject({ tool: { name: "restorer" } });
      if (document.error !== undefined) expect(state.codes).toContain(document.error.code);
      else if (exitCode !== 0) expect(["verify", "diff"]).toContain(name);
    }
    expect(said).toMatch(state.says);
  });
});
