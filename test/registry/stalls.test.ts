import { expect, describe as group, test } from "bun:test";
import { readFileSync } from "node:fs";
import { describe } from "../../lib/errors.ts";
import { parseReference } from "../../lib/oci/reference.ts";
import { defaultTiming } from "../../lib/registry/timing.ts";
import { certificates } from "../support/certificates.ts";
import { eventually } from "../support/eventually.ts";
import { type Fault, type FaultRule, startSilentServer } from "../support/fault-registry.ts";
import {
  anything,
  blobPath,
  client,
  failure,
  firstLayer,
  hasty,
  image,
  quick,
  serving,
} from "../support/registry-client.ts";

group("a server that is slow, but alive", () => {
  test("has more time in one attempt than in all that may follow", () => {
    const { answerMs, operationMs, tokenMs, silenceMs } = defaultTiming;
    for (const all of [operationMs, tokenMs]) expect(answerMs).toBeWithin(all / 2, all);
    expect(answerMs).toBeLessThan(silenceMs);
  });

  test("is asked over TLS again where nobody was quick enough, and nobody speaks plain http", async () => {
    const { server, authority } = certificates;
    const tls = { cert: readFileSync(server.cert, "utf8"), key: readFileSync(server.key, "utf8") };
    const rules: FaultRule[] = [{ path: /manifests/, times: 1, fault: { kind: "stall" } }];
    await using all = await serving({ tls, rules }, { env: { SSL_CERT_FILE: authority }, timing: { probeMs: 2000 } });
    expect((await all.registry.image(all.reference)).descriptor.digest).toBe(image.digest);
    expect(all.lines.filter((line) => /^GET http:.*(ECONNRESET|ConnectionClosed|400)/.test(line))).toHaveLength(1);
    expect(all.server.count(/manifests/, anything)).toBe(2);
  });
});

group("a server that stalls", () => {
  test("at the connection is given up", async () => {
    await using silent = await startSilentServer();
    const { registry } = await client([silent.host], { timing: hasty });
    const error = await failure(registry.image(parseReference(`${silent.host}/org/app`)));
    expect(describe(error)).toContain("did not answer within 0.15 s");
    expect(error.hint).toContain("can be reached");
  });

  const stalls: [where: string, fault: Fault][] = [
    ["before its answer", { kind: "stall" }],
    ["in its answer", { kind: "stall", at: 10 }],
  ];
  test.each(stalls)("%s is given up after a few attempts", async (_, fault) => {
    await using all = await serving({ rules: [{ path: /manifests\/v1/, fault }] }, { timing: hasty });
    expect(describe(await failure(all.registry.image(all.reference)))).toContain("did not answer");
    // How many reach the server in so little time depends on the machine; how many are made stands in retry.test.ts.
    expect(all.server.count(/manifests/, anything)).toBeLessThanOrEqual(3);
  });

  test.each(stalls)("%s keeps nobody from other answers", async (_, fault) => {
    const stop = new AbortController();
    await using all = await serving({ rules: [{ path: /manifests\/v1/, fault }] }, { signal: stop.signal });
    const stalled = all.registry.image(all.reference).catch(String);
    const byDigest = parseReference(`${all.server.host}/org/app@${image.digest}`);
    expect((await all.registry.image(byDigest)).descriptor.digest).toBe(image.digest);
    stop.abort(new Error("enough"));
    expect(await stalled).toBe("Error: enough");
  });

  test("when asked for a token is given up", async () => {
    await using all = await serving(
      { auth: { kind: "token" }, rules: [{ path: /token/, fault: { kind: "stall" } }] },
      { timing: { ...quick, tokenMs: 300 } },
    );
    const error = await failure(all.registry.image(all.reference));
    expect(error.message).toContain("failed to get a token");
    expect(describe(error)).toContain("did not answer");
  });

  test("in many ways is not asked any more once it has kept us waiting too long in all", async () => {
    const rules = [{ path: /./, fault: { kind: "stall" } as const }];
    await using all = await serving({ rules }, { timing: { ...hasty, graceMs: 10, silenceMs: 500 } });
    const names = ["a", "b", "c", "d", "e", "f", "g", "h"];
    const errors = [];
    for (const tag of names) {
      errors.push(describe(await failure(all.registry.image(parseReference(`${all.server.host}/org/app:${tag}`)))));
    }
    expect(errors.at(-1)).toContain("kept us waiting in silence");
    const asked = names.filter((tag) => all.server.count(new RegExp(`manifests/${tag}$`), anything) > 0);
    expect(asked).not.toEqual(names);
  });

  test("does not outlast the end of the run", async () => {
    const stop = new AbortController();
    const rules = [{ path: /./, fault: { kind: "stall" } as const }];
    await using all = await serving({ rules }, { signal: stop.signal });
    const asked = all.registry.image(all.reference).catch(String);
    await eventually("a request", () => all.server.requests[0]);
    stop.abort(new Error("SIGTERM"));
    expect(await asked).toBe("Error: SIGTERM");
    expect(await all.registry.image(all.reference).catch(String)).toBe("Error: SIGTERM");
  });

  test("in the middle of a blob does not outlast it either", async () => {
    const stop = new AbortController();
    const rules = [{ path: blobPath(0), fault: { kind: "stall", at: 10 } as const }];
    await using all = await serving({ rules }, { signal: stop.signal });
    const { found, layer } = await firstLayer(all.registry, all.reference);
    const blob = all.registry.blob(found, layer)[Symbol.asyncIterator]();
    expect((await blob.next()).value).toHaveLength(10);
    const asked = blob.next().catch(String);
    stop.abort(new Error("SIGTERM"));
    expect(await asked).toBe("Error: SIGTERM");
  });
});
