import { expect, describe as group, test } from "bun:test";
import { describe } from "../../lib/errors.ts";
import { HttpClient } from "../../lib/http/client.ts";
import { httpTiming } from "../../lib/http/timing.ts";
import { StreamLog } from "../../lib/log.ts";
import { parseReference } from "../../lib/oci/reference.ts";
import { digestOf, type Fault, type FaultRule, startFaultRegistry } from "../support/fault-registry.ts";
import { anything, client, failure, image, layers, pull, quick, serving } from "../support/registry-client.ts";

group("what may pass is tried again:", () => {
  const passing: Fault[] = [
    ...[408, 429, 500, 502, 503, 504].map((status): Fault => ({ kind: "status", status })),
    { kind: "reset" },
    { kind: "cut" },
  ];
  test.each(passing)("%o", async (fault) => {
    await using all = await serving({ rules: [/manifests/, /blobs/].map((path) => ({ path, times: 2, fault })) });
    const { blobs } = await pull(all);
    expect(blobs.map(digestOf)).toEqual(layers.map(digestOf));
    expect(all.server.count(/manifests/, anything)).toBe(3);
  });

  const soon = () => new Date(Date.now() + 5000).toUTCString();
  const nextYear = new Date(Date.now() + 366 * 86_400_000).toUTCString();
  test("after as long as the server asks for", async () => {
    for (const status of [429, 503]) {
      for (const asked of ["20", soon()]) {
        const slept: number[] = [];
        const sleep = async (ms: number) => void slept.push(ms);
        const fault: Fault = { kind: "status", status, headers: { "retry-after": asked } };
        await using all = await serving({ rules: [{ path: /manifests/, times: 1, fault }] }, { timing: { sleep } });
        await all.registry.check(all.reference);
        expect(all.server.count(/manifests/, anything)).toBe(2);
        expect(slept[0]).toBeGreaterThan(0);
        if (asked === "20") expect(slept[0]).toBeWithin(20_000, 21_001);
      }
    }
  });

  test.each([
    [429, "3600", "3,600 seconds"],
    [503, "21", "21 seconds"],
    [502, nextYear, /31,[0-9]{3},[0-9]{3} seconds/],
    [429, nextYear, "seconds"],
  ])("but not after longer than we wait: %i with Retry-After: %s", async (status, asked, words) => {
    for (const path of [/manifests/, /token/]) {
      const fault: Fault = { kind: "status", status, headers: { "retry-after": asked } };
      await using all = await serving({ auth: { kind: "token" }, rules: [{ path, fault }] });
      const error = await failure(all.registry.image(all.reference));
      expect(error.message).toMatch(words);
      expect(error.message).toContain("which is longer than we wait");
      expect([error.status, all.server.count(path, (code) => code === status)]).toEqual([status, 1]);
    }
  });

  test("and a token server that limits its clients is asked a few times only", async () => {
    const rules: FaultRule[] = [{ path: /token/, fault: { kind: "status", status: 429 } }];
    await using all = await serving({ auth: { kind: "token" }, rules }, { timing: { ...quick, tokenLimitedMs: 0 } });
    const error = await failure(all.registry.image(all.reference));
    expect([error.status, all.server.count(/token/, anything)]).toEqual([429, 1]);
    // Nor is it waited for at the next image.
    all.server.push("org/other", "v1", image);
    await failure(all.registry.image(parseReference(`${all.server.host}/org/other:v1`)));
    expect(all.server.count(/token/, anything)).toBe(2);
  });

  const bad = JSON.stringify({ errors: [{ code: "BAD", message: "very \x1b[31mbad\nERROR: fake" }] });

  test("a registry that limits its clients is asked until it has time", async () => {
    const rules: FaultRule[] = [/manifests/, /blobs/].map((path) => ({
      path,
      times: 7,
      fault: { kind: "status", status: 429, headers: { "retry-after": "1" } },
    }));
    await using all = await serving({ rules });
    const { blobs } = await pull(all);
    expect(blobs.map(digestOf)).toEqual(layers.map(digestOf));
    expect(all.server.count(/manifests/, anything)).toBe(8);
  });

  test("which is not a failure, nor a wait that it keeps us", async () => {
    const limited: Fault = { kind: "status", status: 429, headers: { "retry-after": "1" } };
    const rules: FaultRule[] = [
      { path: /manifests/, times: 8, fault: limited },
      { path: /manifests/, times: 3, fault: { kind: "status", status: 503 } },
    ];
    await using server = await startFaultRegistry({ rules });
    server.push("org/app", "v1", image);
    const told: string[] = [];
    const http = new HttpClient({
      env: {},
      log: new StreamLog("error"),
      verifies: () => true,
      timing: { ...httpTiming, ...quick },
    });
    const { response } = await http.send({
      urls: [new URL(`${server.url}/v2/org/app/manifests/v1`)],
      refuseRedirect: () => undefined,
      signal: new AbortController().signal,
      listener: { heard: () => void told.push("heard"), excuse: () => void told.push("excused") },
    });
    expect(response.status).toBe(200);
    const expected = [...Array(8).fill(["heard", "excused"]), ["heard"], ["heard"], ["heard"], ["heard"]];
    expect(told).toEqual(expected.flat());
  });

  test("but not for ever: 429", async () => {
    const rules: FaultRule[] = [{ path: /manifests/, fault: { kind: "status", status: 429, body: bad } }];
    await using all = await serving({ rules }, { timing: { ...quick, limitedMs: 30 } });
    const error = await failure(all.registry.image(all.reference));
    expect(error.status).toBe(429);
    expect(error.message).toContain("answered 429");
    expect(error.message).toContain('"very \\x1b[31mbad\\nERROR: fake"');
    const asked = all.server.count(/manifests/, anything);
    expect(asked).toBeGreaterThan(1);
    // A registry that had no time for one request is not waited for at the next.
    await failure(all.registry.image(all.reference));
    expect(all.server.count(/manifests/, anything)).toBe(asked + 1);
  });

  test("and it is waited for again once it has answered something else", async () => {
    const limited: Fault = { kind: "status", status: 429, body: "" };
    const rules: FaultRule[] = [
      { path: /manifests\/v1/, fault: limited },
      { path: /manifests\/v3/, times: 1, fault: limited },
    ];
    await using all = await serving({ rules }, { timing: { ...quick, limitedMs: 30 } });
    all.server.push("org/app", "v3", image);
    const get = (tag: string) => all.registry.image(parseReference(`${all.server.host}/org/app:${tag}`));
    const error = await failure(get("v1"));
    expect(error.status).toBe(429);
    expect(error.message).toMatch(/answered 429 Too Many Requests \(credentials/);
    expect((await failure(get("v2"))).status).toBe(404);
    expect((await get("v3")).descriptor.digest).toBe(image.digest);
  });

  test.each([500, 503])("but not for ever: %i", async (status) => {
    await using all = await serving({ rules: [{ path: /manifests/, fault: { kind: "status", status, body: bad } }] });
    const error = await failure(all.registry.image(all.reference));
    expect(error.status).toBe(status);
    expect(error.message).toContain(`answered ${status}`);
    expect(error.message).toContain('"very \\x1b[31mbad\\nERROR: fake"');
    expect(all.server.count(/manifests/, anything)).toBe(4);
  });

  test.each([400, 401, 403, 404, 405, 410])("what will not is not: %i", async (status) => {
    await using all = await serving({ rules: [{ path: /manifests/, fault: { kind: "status", status } }] });
    const error = await failure(all.registry.image(all.reference));
    expect(error.status).toBe(status);
    expect(error.mayNotExist).toBe(status === 401 || status === 403);
    expect(all.server.count(/manifests/, anything)).toBe(1);
  });

  test("a refused connection ends soon, and says so", async () => {
    const { registry, lines } = await client([]);
    const error = await failure(registry.image(parseReference("127.0.0.1:1/org/app")));
    expect(describe(error)).toContain("127.0.0.1:1: connection refused (ECONNREFUSED)");
    expect(error.hint).toContain("127.0.0.1:1");
    expect(lines.filter((line) => line.includes("ECONNREFUSED"))).toHaveLength(6);
  });

  test("a failure is not remembered", async () => {
    await using all = await serving({
      rules: [{ path: /manifests/, times: 4, fault: { kind: "status", status: 500 } }],
    });
    await failure(all.registry.image(all.reference));
    expect((await all.registry.image(all.reference)).descriptor.digest).toBe(image.digest);
  });

  test.each([
    ['{"errors":[{"code":"DENIED"},{"message":"and more"}]}', ': "DENIED; and more" ('],
    ['{"error":"invalid_grant","error_description":"too old"}', ': "too old" ('],
    ['{"details":"incorrect username"}', ': "incorrect username" ('],
    ['{"errors":"x","message":5}', "403 Forbidden (credentials"],
    ["plain words\nand more", ': "plain words" ('],
    ["<html><title>no</title></html>", "403 Forbidden (credentials"],
    ["{broken", "403 Forbidden (credentials"],
    [`"${"long".repeat(200)}"`, `${"long".repeat(20)}`],
  ])("the server's own words are told, in short: %s", async (body, words) => {
    await using all = await serving({ rules: [{ path: /./, fault: { kind: "status", status: 403, body } }] });
    const { message } = await failure(all.registry.image(all.reference));
    expect(message).toContain(words);
    expect(message.length).toBeLessThan(600);
  });

  test("HEAD is never needed", async () => {
    await using all = await serving({ rules: [{ path: /./, method: "HEAD", fault: { kind: "status", status: 405 } }] });
    await all.registry.check(all.reference);
    await pull(all);
    expect(all.server.requests.every(({ method }) => method === "GET")).toBe(true);
  });
});
