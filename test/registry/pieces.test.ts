import { expect, describe as group, test } from "bun:test";
import { randomBytes } from "node:crypto";
import { describe } from "../../lib/errors.ts";
import { parseReference } from "../../lib/oci/reference.ts";
import { eventually } from "../support/eventually.ts";
import {
  digestOf,
  type Fault,
  type FaultRegistry,
  type FaultRule,
  startFaultRegistry,
  testImage,
} from "../support/fault-registry.ts";
import { hangMs } from "../support/harness.ts";
import { client, collect, firstLayer, type Setup } from "../support/registry-client.ts";

const pieceBytes = 2 * 1024 * 1024;
const content = randomBytes(8 * pieceBytes + 1000);
const image = testImage({ layers: [content], compression: "none" });
const isBlob = new RegExp(`/blobs/${digestOf(content)}$`);
/** So that more connections are worth while, however fast this machine is. */
const slow: FaultRule = { path: isBlob, fault: { kind: "slow", bytesPerSecond: 25_000_000 } };

/** Downloads the blob from a registry with faults, by way of a store where there is one. */
async function download(
  rules: readonly FaultRule[],
  { connections = 4, ...setup }: Setup & { connections?: number } = {},
) {
  await using server = await startFaultRegistry({ rules: [...rules, slow] });
  server.push("org/app", "v1", image);
  const bytes = await fetchFrom(server, { connections, ...setup });
  return { digest: digestOf(bytes), ranges: rangesAt(server) };
}

async function fetchFrom({ host }: FaultRegistry, setup: Setup & { connections?: number }): Promise<Buffer> {
  const { registry } = await client([host], setup);
  const { found, layer } = await firstLayer(registry, parseReference(`${host}/org/app:v1`));
  return collect(registry.blob(found, layer));
}

function rangesAt(server: FaultRegistry): (string | undefined)[] {
  return server.requests
    .filter(({ path }) => isBlob.test(path))
    .map(({ headers }) => headers.range as string | undefined);
}

const digest = digestOf(content);
const pieces = Array.from({ length: 9 }, (_, index) => {
  const [from, end] = [index * pieceBytes, Math.min(content.length, (index + 1) * pieceBytes)];
  return end === content.length ? `bytes=${from}-` : `bytes=${from}-${end - 1}`;
});

group("a large blob", () => {
  test("comes in pieces where a connection is slow", async () => {
    const { digest: got, ranges } = await download([]);
    expect(got).toBe(digest);
    expect(pieces.filter((piece) => !ranges.includes(piece))).toEqual([]);
  });

  test("comes in one stream where one connection is asked for", async () => {
    expect(await download([], { connections: 1 })).toEqual({ digest, ranges: [undefined] });
  });

  test("comes in one stream where the registry knows no ranges", async () => {
    const { digest: got, ranges } = await download([{ path: isBlob, fault: { kind: "ignore-range" } }]);
    expect({ got, ranges }).toEqual({ got: digest, ranges: [pieces[0]] });
  });

  const status = (code: number): Fault => ({ kind: "status", status: code });
  /** `isFirst` where it is about the blob itself if the first piece meets it. */
  const faults: [what: string, fault: Fault, isFirst?: "of the blob"][] = [
    ["breaks off", { kind: "cut" }],
    ["is refused a connection", { kind: "reset" }],
    ["is short", { kind: "short" }],
    ["is too long", { kind: "trailing", announced: true }, "of the blob"],
    ["is too long, unannounced", { kind: "trailing", announced: false }],
    ["stops coming", { kind: "stall", at: 1000 }],
    ["is late", { kind: "late", ms: 20 }],
    ["is of another part", { kind: "wrong-range" }],
    ["is all of the blob", { kind: "ignore-range" }],
    ...[500, 502, 503, 504, 400, 403, 416].map((code): [string, Fault] => [`gets status ${code}`, status(code)]),
    ["gets status 401", status(401), "of the blob"],
    ["gets status 404", status(404), "of the blob"],
    ["gets status 429", { kind: "status", status: 429, headers: { "retry-after": "0" } }],
    ["is of another blob by its tag", { kind: "headers", headers: { etag: '"other"' } }],
    ["has a wrong total, and all else right", { kind: "headers", headers: { "content-range": `bytes 0-2097151/9` } }],
    ["has a wrong total", { kind: "headers", headers: { "content-range": `bytes 4194304-6291455/9` } }],
  ];
  const tagged: FaultRule = { path: isBlob, times: 1, fault: { kind: "headers", headers: { etag: '"one"' } } };
  const places = [0, 1, 2, 5, 8];
  for (const [what, fault, isFirst] of faults) {
    for (const after of isFirst === undefined ? places : places.slice(1)) {
      test.concurrent(`is whole where piece ${after} ${what}`, async () => {
        const first = after === 0 ? [] : [tagged];
        const timing = { stallMs: 2_000 };
        const { digest: got } = await download([...first, { path: isBlob, after, times: 1, fault }], { timing });
        expect(got).toBe(digest);
      });
    }
  }

  test.concurrent.each([0, 1, 2, 5])("is whole where piece %i is something else, of another length", async (after) => {
    const { digest: got } = await download([{ path: isBlob, after, times: 1, fault: { kind: "garbage" } }]);
    expect(got).toBe(digest);
  });

  test.concurrent.each([0, 1, 2, 5, 8])(
    "is another one where piece %i is corrupt, which its digest shows",
    async (after) => {
      const { digest: got } = await download([{ path: isBlob, after, times: 1, fault: { kind: "corrupt" } }]);
      expect(got).not.toBe(digest);
    },
  );

  /** Whatever is asked for as a part, once so many pieces have come. */
  const partsFail = (after: number, fault: Fault): FaultRule => ({ path: isBlob, range: /./, after, fault });
  test.concurrent.each([
    [1, status(416)],
    [3, status(403)],
    [2, { kind: "wrong-range" }],
  ] as const)("is asked for without a range where all after piece %i fail: %j", async (after, fault) => {
    const { digest: got, ranges } = await download([partsFail(after, fault)]);
    expect(got).toBe(digest);
    expect(ranges.filter((range) => range === undefined)).toHaveLength(1);
  });

  test("that comes in no way is an error that tells what was tried", async () => {
    const all: FaultRule = { path: isBlob, after: 2, fault: status(403) };
    const tried = download([partsFail(2, status(416)), all]).then(String, describe);
    expect(await tried).toMatch(
      /answered 403 .*, in one stream from byte [\d,]+ on after it had failed by several connections \(status 416\)/,
    );
  });

  test("is kept in memory as far as pieces may be ahead of the one that is wanted", async () => {
    await using server = await startFaultRegistry({
      rules: [{ path: isBlob, after: 1, times: 1, fault: { kind: "stall", at: 1000 } }, slow],
    });
    server.push("org/app", "v1", image);
    const controller = new AbortController();
    const { registry } = await client([server.host], { connections: 3, signal: controller.signal });
    const { found, layer } = await firstLayer(registry, parseReference(`${server.host}/org/app:v1`));
    const read = collect(registry.blob(found, layer)).catch((error: unknown) => error);
    await eventually("a further connection for the piece that stalls", () =>
      rangesAt(server).find((range) => range?.startsWith(`bytes=${pieceBytes + 1000}-`)),
    );
    controller.abort(new Error("seen enough"));
    await read;
    expect(pieces.filter((piece) => rangesAt(server).includes(piece))).toEqual(pieces.slice(0, 4));
  });

  test.each([400, 403, 405, 501])(
    "is asked for without a range where that is refused with status %i",
    async (status) => {
      const refused: FaultRule = { path: isBlob, times: 1, fault: { kind: "status", status } };
      const { digest: got, ranges } = await download([refused]);
      expect({ got, ranges }).toEqual({ got: digest, ranges: [pieces[0], undefined] });
    },
  );

  test("comes in one stream once the registry limits its clients", async () => {
    const limited: Fault = { kind: "status", status: 429, headers: { "retry-after": "0" } };
    const { digest: got, ranges } = await download([{ path: isBlob, times: 1, fault: limited }]);
    expect(got).toBe(digest);
    expect(ranges).toEqual([pieces[0], pieces[0], `bytes=${pieceBytes}-`]);
  });

  test("has a connection that crawls given up for a new one", async () => {
    const crawls: FaultRule = { path: isBlob, after: 2, times: 1, fault: { kind: "slow", bytesPerSecond: 300_000 } };
    const { digest: got, ranges } = await download([crawls]);
    expect(got).toBe(digest);
    // A machine that halts for a second has more than that one given up.
    expect(ranges.filter((range) => !pieces.includes(range ?? ""))).not.toHaveLength(0);
  });

  test.concurrent.each([
    ["one piece does, and again by the next connection", [[2, 2]]],
    [
      "two pieces do at a time",
      [
        [2, 1],
        [3, 1],
      ],
    ],
    ["the last one does, when no other is under way", [[8, 1]]],
  ] as const)("has connections that stand still given up, where %s", async (_, stalls) => {
    const rules = stalls.map(([piece, times]): FaultRule => {
      const range = new RegExp(`^${(pieces[piece] ?? "").replace(/-$/, "-$")}`);
      return { path: isBlob, range, times, fault: { kind: "stall", at: times === 1 ? 100 : 0 } };
    });
    const { digest: got } = await download(rules, { connections: 3, timing: { stallMs: hangMs, silenceMs: hangMs } });
    expect(got).toBe(digest);
  });

  test("is an error where a piece stays away, in the registry's words", async () => {
    const gone: FaultRule = { path: isBlob, after: 3, fault: { kind: "status", status: 403 } };
    await expect(download([gone])).rejects.toThrow("403");
  });

  test("ends at once when the run is asked to stop", async () => {
    const controller = new AbortController();
    await using server = await startFaultRegistry({ rules: [slow] });
    server.push("org/app", "v1", image);
    const { registry } = await client([server.host], { connections: 4, signal: controller.signal });
    const { found, layer } = await firstLayer(registry, parseReference(`${server.host}/org/app:v1`));
    const stopped = new Error("asked to stop");
    const read = async () => {
      let length = 0;
      for await (const chunk of registry.blob(found, layer)) {
        length += chunk.length;
        if (length > 2 * pieceBytes) controller.abort(stopped);
      }
    };
    await expect(read()).rejects.toBe(stopped);
  });
});

async function stored(storeRules: readonly FaultRule[]) {
  const store = await startFaultRegistry({ rules: [...storeRules, slow] });
  store.push("org/app", "v1", image);
  const to = `${store.url}/v2/org/app/blobs/${digest}?signature=secret`;
  const redirect: FaultRule = { path: isBlob, fault: { kind: "redirect", to } };
  const server = await startFaultRegistry({ auth: { kind: "basic", user: "me:pass" }, rules: [redirect] });
  server.push("org/app", "v1", image);
  return {
    server,
    store,
    async [Symbol.asyncDispose]() {
      await server[Symbol.asyncDispose]();
      await store[Symbol.asyncDispose]();
    },
  };
}
const asMe = (host: string) => ({ [host]: `Basic ${Buffer.from("me:pass").toString("base64")}` });

group("a store that the registry redirects to", () => {
  test("is asked for all pieces, the registry for its address once", async () => {
    await using all = await stored([]);
    const bytes = await fetchFrom(all.server, { connections: 4, auth: asMe(all.server.host) });
    expect(digestOf(bytes)).toBe(digest);
    expect(all.server.count(isBlob, (status) => status === 307)).toBe(1);
    const ranges = rangesAt(all.store);
    expect(pieces.filter((piece) => !ranges.includes(piece))).toEqual([]);
    expect(all.store.requests.filter(({ headers }) => headers.authorization !== undefined)).toEqual([]);
  });

  test.each([
    ["expires in the midst of it", { kind: "status", status: 403 }],
    ["is gone", { kind: "status", status: 404 }],
    ["is refused", { kind: "reset" }],
  ] as const)("whose address %s is asked for again", async (_, fault) => {
    await using all = await stored([{ path: isBlob, after: 3, times: 1, fault }]);
    const bytes = await fetchFrom(all.server, { connections: 4, auth: asMe(all.server.host) });
    expect(digestOf(bytes)).toBe(digest);
  });
});

test.concurrent.each([
  ["ignores a range", { kind: "ignore-range" }],
  ["sends another part", { kind: "wrong-range" }],
  ["refuses a range", { kind: "status", status: 416 }],
  ["crawls", { kind: "slow", bytesPerSecond: 300_000 }],
] as const)("a store that once %s brings the blob all the same", async (_, fault) => {
  await using all = await stored([{ path: isBlob, after: 2, times: 1, fault }]);
  const bytes = await fetchFrom(all.server, { connections: 4, auth: asMe(all.server.host) });
  expect(digestOf(bytes)).toBe(digest);
});
