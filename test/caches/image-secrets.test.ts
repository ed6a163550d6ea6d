import { expect, describe as group } from "bun:test";
import {
  anyManifest,
  expectCold,
  expectWarm,
  healthy,
  manifestOf,
  type Outcome,
  restore,
  restoreTest,
  type Setup,
} from "../support/cache-faults.ts";
import { type Fault, startFaultRegistry } from "../support/fault-registry.ts";

group("secrets", () => {
  const [user, password] = ["builder", "pa55word-of-the-day"];
  const encoded = Buffer.from(`${user}:${password}`).toString("base64");
  const debug = ["-log-level", "debug"];
  const login = { header: `Basic ${encoded}`, args: debug };

  function expectNoSecret({ stdout, stderr, requests }: Outcome, ...more: string[]): void {
    const tokens = requests.flatMap(
      ({ headers }) => /^(?:Bearer|Basic) (.*)$/.exec(headers.authorization?.toString() ?? "")?.[1] ?? [],
    );
    const said = `${stdout}${stderr}`;
    expect(said).toContain("GET ");
    for (const secret of [password, encoded, ...tokens, ...more]) expect(said).not.toContain(secret);
  }

  const several: [what: string, setup: Setup][] = [
    ["where there are several challenges in as many headers", { challenge: ["Negotiate", 'Basic realm="test"'] }],
    [
      "where there are several challenges in one",
      { challenge: 'Negotiate abc==, Digest realm="a,b", nonce="Basic x", Basic realm="test"' },
    ],
  ];
  for (const [what, setup] of several) {
    restoreTest(`are shown to the registry, and to nobody else, ${what}`, async () => {
      const outcome = await restore({ auth: { kind: "basic", user: `${user}:${password}` }, ...setup, ...login });
      expectWarm(outcome);
      expectNoSecret(outcome);
    });
  }

  restoreTest("are not told when they are refused", async () => {
    const echo: Fault = {
      kind: "status",
      status: 401,
      body: JSON.stringify({ errors: [{ message: `bad ${encoded} ${password}` }] }),
    };
    const outcome = await restore({ rules: [{ path: /./, fault: echo }], challenge: 'Basic realm="x"', ...login });
    expectCold(outcome, "401", "CNB_REGISTRY_AUTH");
    expectNoSecret(outcome);
  });

  restoreTest("and tokens go to the registry alone, wherever it redirects", async () => {
    await using elsewhere = await startFaultRegistry();
    elsewhere.push("cache", "latest", healthy);
    const to = (digest: string | undefined) => `${elsewhere.url}/v2/cache/blobs/${digest}?signature=t0psecret`;
    const { config, layers } = manifestOf(healthy);
    const outcome = await restore({
      auth: { kind: "token", user: `${user}:${password}` },
      ...login,
      rules: [config, ...layers].map(({ digest }) => ({
        path: new RegExp(digest),
        fault: { kind: "redirect", to: to(digest) },
      })),
    });
    expectWarm(outcome);
    expectNoSecret(outcome, "t0psecret");
    expect(outcome.requests.some(({ headers }) => headers.authorization !== undefined)).toBe(true);
    expect(elsewhere.requests).toHaveLength(3);
    for (const { headers, query } of elsewhere.requests) {
      expect(query).toBe("?signature=t0psecret");
      expect(Object.keys(headers).sort()).toEqual(["accept", "accept-encoding", "connection", "host", "user-agent"]);
      expect(headers["user-agent"]).toBe("restorer");
    }
  });

  restoreTest("do not follow a manifest to another host either", async () => {
    await using elsewhere = await startFaultRegistry({ auth: { kind: "basic", user: `${user}:${password}` } });
    elsewhere.push("cache", "latest", healthy);
    const fault: Fault = { kind: "redirect", to: `${elsewhere.url}/v2/cache/manifests/latest` };
    const outcome = await restore({ rules: [{ path: anyManifest, fault }], ...login });
    expectCold(outcome, "401", elsewhere.host);
    expectNoSecret({ ...outcome, requests: [] });
    expect(elsewhere.requests.map(({ headers }) => headers.authorization)).toEqual([undefined]);
  });
});
