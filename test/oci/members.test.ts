import { describe, expect, test } from "bun:test";
import { ManifestError } from "../../lib/oci/document.ts";
import { type Index, type Manifest, mediaTypes, type Platform, parseManifest } from "../../lib/oci/manifest.ts";
import { findManifest, type Search } from "../../lib/oci/members.ts";

const amd64 = { os: "linux", architecture: "amd64" };
const arm64 = { os: "linux", architecture: "arm64" };
const silent = { os: "", architecture: "" };
const unknown = { os: "unknown", architecture: "unknown" };
const digest = (n: number) => `sha256:${String(n).padStart(64, "0")}`;

/** A member: what the index says, what the config says (undefined: it is not there), and more of the entry. */
type Entry = readonly [says: unknown, config: Platform | "artifact" | undefined, more?: object];

function indexOf(entries: readonly Entry[]): Index {
  const manifests = entries.map(([platform, , more], n) => ({
    ...{ mediaType: mediaTypes.ociManifest, digest: digest(n), size: 20, platform },
    ...more,
  }));
  const parsed = parseManifest(Buffer.from(JSON.stringify({ schemaVersion: 2, manifests })));
  if (parsed.kind !== "index") throw new Error("not an index");
  return parsed;
}

interface Document {
  readonly n: number;
  readonly content: Index | Manifest;
}

/** Which member is found, which ones were read and which configs. */
async function find(entries: readonly Entry[], otherwise: Search<unknown>["otherwise"] = "nothing") {
  const asked: string[] = [];
  const read = async (member: { digest: string }) => {
    const n = Number(member.digest.slice(7));
    asked.push(`member ${n}`);
    const config = entries[n]?.[1];
    if (config === undefined) throw new ManifestError("not there");
    const mediaType = config === "artifact" ? "application/vnd.example.thing+json" : "";
    const manifest: Manifest = {
      kind: "manifest",
      mediaType: "",
      config: { mediaType, digest: "", size: 1 },
      layers: [],
    };
    const document: Document = { n, content: manifest };
    return document;
  };
  const platformOf = async ({ n }: Document) => {
    asked.push(`config ${n}`);
    const config = entries[n]?.[1];
    if (config === undefined || config === "artifact") throw new Error("asked for no config");
    return config;
  };
  const search = { platform: amd64, otherwise, read, platformOf, isUnusable: () => false };
  const start: Document = { n: -1, content: indexOf(entries) };
  const { document } = await findManifest(start, search);
  return { n: document.n, asked };
}

describe("the member of an index", () => {
  test.each<[what: string, entries: Entry[], n: number]>([
    [
      "that says so comes first",
      [
        [undefined, amd64],
        [arm64, arm64],
        [amd64, amd64],
      ],
      2,
    ],
    [
      "that says nothing and whose config fits is next",
      [
        [arm64, arm64],
        [undefined, arm64],
        [undefined, amd64],
      ],
      2,
    ],
    [
      "that says nothing, nor its config, is next",
      [
        [arm64, arm64],
        [undefined, silent],
        [undefined, arm64],
      ],
      1,
    ],
    [
      "whose config fits comes before one whose config says nothing",
      [
        [undefined, silent],
        [undefined, amd64],
      ],
      1,
    ],
    [
      "may say null",
      [
        [arm64, arm64],
        [null, amd64],
      ],
      1,
    ],
    [
      "may say nothing in many words",
      [
        [arm64, arm64],
        [{ os: "", architecture: null }, amd64],
      ],
      1,
    ],
    [
      "may say something else than a platform",
      [
        [arm64, arm64],
        ["linux/amd64", amd64],
      ],
      1,
    ],
    [
      "may say only its system",
      [
        [arm64, arm64],
        [{ os: "linux" }, arm64],
        [{ os: "linux" }, amd64],
      ],
      2,
    ],
    [
      "of another system is not looked into",
      [
        [{ os: "windows" }, amd64],
        [undefined, amd64],
      ],
      1,
    ],
    [
      "that is not there is passed over",
      [
        [undefined, undefined],
        [undefined, amd64],
      ],
      1,
    ],
    [
      "that is not an image is passed over",
      [
        [undefined, "artifact"],
        [undefined, silent],
      ],
      1,
    ],
    [
      "with a variant comes after the one without",
      [
        [undefined, { ...amd64, variant: "v3" }],
        [undefined, amd64],
      ],
      1,
    ],
  ])("%s", async (_, entries, n) => {
    expect((await find(entries)).n).toBe(n);
    for (const otherwise of ["same-os", "only"] as const) expect((await find(entries, otherwise)).n).toBe(n);
  });

  test("costs nothing more where it says what it is for", async () => {
    expect(
      (
        await find([
          [undefined, amd64],
          [amd64, amd64],
        ])
      ).asked,
    ).toEqual(["member 1"]);
    expect(
      (
        await find([
          [undefined, amd64],
          [undefined, amd64],
        ])
      ).asked,
    ).toEqual(["member 0", "config 0"]);
  });

  test("that its config contradicts is the last to be taken, where any would do", async () => {
    const wrong: Entry = [amd64, arm64];
    const other: Entry = [undefined, amd64];
    expect((await find([wrong], "same-os")).n).toBe(0);
    expect((await find([wrong, other], "same-os")).n).toBe(1);
    // A run image is what its index says.
    expect((await find([wrong, other])).n).toBe(0);
  });

  const provenance = { "vnd.docker.reference.type": "attestation-manifest" };
  test.each<[what: string, entry: Entry]>([
    ["of no platform at all", [unknown, silent]],
    ["that says so in its annotations", [undefined, silent, { annotations: provenance }]],
    ["that claims a platform", [amd64, amd64, { annotations: provenance }]],
    ["of an artifact", [undefined, silent, { artifactType: "application/vnd.example.sbom+json" }]],
  ])("is never an attestation: one %s", async (_, entry) => {
    for (const otherwise of ["nothing", "same-os", "only"] as const) {
      expect((await find([entry, [undefined, silent]], otherwise)).n).toBe(1);
      await expect(find([entry], otherwise)).rejects.toThrow("no member for linux/amd64");
    }
  });

  test("is of the same system at least, where that is enough", async () => {
    const others: Entry[] = [
      [{ os: "windows", architecture: "amd64" }, amd64],
      [unknown, amd64],
      [arm64, arm64],
    ];
    expect((await find(others, "same-os")).n).toBe(2);
    const silentFirst: Entry = [undefined, arm64];
    expect((await find([silentFirst, [arm64, arm64]], "same-os")).n).toBe(0);
    await expect(find(others)).rejects.toThrow(
      "no member for linux/amd64, only for windows/amd64, unknown/unknown, linux/arm64",
    );
  });

  test("is the only one there is, where that is enough", async () => {
    expect((await find([[arm64, arm64]], "only")).n).toBe(0);
    expect(
      (
        await find(
          [
            [unknown, silent],
            [arm64, arm64],
          ],
          "only",
        )
      ).n,
    ).toBe(1);
    await expect(
      find(
        [
          [arm64, arm64],
          [arm64, arm64],
        ],
        "only",
      ),
    ).rejects.toThrow("no member");
  });

  test("is looked for in a few only", async () => {
    const entries = Array.from({ length: 1000 }, (): Entry => [undefined, arm64]);
    await expect(find(entries)).rejects.toThrow("no member");
  });
});
