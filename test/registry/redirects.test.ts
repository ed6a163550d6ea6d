import { expect, describe as group, test } from "bun:test";
import { describe } from "../../lib/errors.ts";
import { digestOf, type Fault, startFaultRegistry } from "../support/fault-registry.ts";
import { basic, failure, image, layers, pull, quick, serving } from "../support/registry-client.ts";

group("redirects", () => {
  test("to another host are followed without credentials", async () => {
    await using storage = await startFaultRegistry();
    storage.push("org/app", "v1", image);
    await using all = await serving({ auth: { kind: "token", user: "u:p" } }, (server) => ({
      auth: { [server.host]: basic("u:p") },
    }));
    for (const [digest] of image.blobs) {
      const to = `${storage.url}/v2/org/app/blobs/${digest}?X-Signature=s3cret`;
      all.server.rules.push({ path: new RegExp(digest), fault: { kind: "redirect", to } });
    }
    const { blobs } = await pull(all);
    expect(blobs.map(digestOf)).toEqual(layers.map(digestOf));
    expect(storage.requests).toHaveLength(3);
    expect(storage.requests.filter(({ headers }) => headers.authorization !== undefined)).toEqual([]);
    expect(all.lines.join("\n")).not.toContain("s3cret");
  });

  test.each([
    ["JSON", (echo: string) => JSON.stringify({ errors: [{ message: `no blob at ${echo}` }] })],
    ["plain text", (echo: string) => `no blob at ${echo}\n`],
  ])("to a signed address that is echoed in %s do not get it into a message", async (_, bodyOf) => {
    const query = "X-Date=20261128&X-Signature=s3cret%2Fsignature%3D";
    for (const echo of [`/there?${query}`, "s3cret%2Fsignature%3D", "s3cret/signature="]) {
      await using storage = await startFaultRegistry();
      storage.rules.push({ path: /./, fault: { kind: "status", status: 403, body: bodyOf(echo) } });
      await using all = await serving({});
      all.server.rules.push({ path: /manifests/, fault: { kind: "redirect", to: `${storage.url}/there?${query}` } });
      const error = await failure(all.registry.image(all.reference));
      expect(error.message).toContain("no blob at");
      expect(describe(error)).not.toMatch(/s3cret|signature/);
    }
  });

  test("within a host keep them", async () => {
    await using all = await serving({ auth: { kind: "basic", user: "u:p" } }, (server) => ({
      auth: { [server.host]: basic("u:p") },
    }));
    const to = `/v2/org/app/manifests/${image.digest}`;
    all.server.rules.push({ path: /manifests\/v1$/, fault: { kind: "redirect", to } });
    await all.registry.image(all.reference);
    const last = all.server.requests.at(-1);
    expect([last?.path, last?.headers.authorization]).toEqual([to, basic("u:p")]);
  });

  test("away and back do not get them back", async () => {
    await using elsewhere = await startFaultRegistry();
    await using all = await serving({ auth: { kind: "basic", user: "u:p" } }, (server) => ({
      auth: { [server.host]: basic("u:p") },
    }));
    const to = `${elsewhere.url}/there`;
    all.server.rules.push({ path: /manifests\/v1$/, after: 1, fault: { kind: "redirect", to } });
    elsewhere.rules.push({
      path: /./,
      fault: { kind: "redirect", to: `${all.server.url}/v2/org/app/manifests/${image.digest}` },
    });
    const error = await failure(all.registry.image(all.reference));
    expect(error.status).toBe(401);
    expect(all.server.requests.at(-1)?.headers.authorization).toBeUndefined();
  });

  test("of a token request do not take the password along", async () => {
    await using elsewhere = await startFaultRegistry({ auth: { kind: "token" } });
    await using all = await serving(
      {
        auth: { kind: "token", user: "u:p" },
        rules: [{ path: /token/, fault: { kind: "redirect", to: `${elsewhere.url}/token` } }],
      },
      (server) => ({ auth: { [server.host]: basic("u:p") } }),
    );
    await failure(all.registry.image(all.reference));
    expect(elsewhere.requests.map(({ headers }) => headers.authorization)).not.toContain(basic("u:p"));
  });

  test("of a refresh token are not followed", async () => {
    await using elsewhere = await startFaultRegistry();
    await using all = await serving(
      {
        auth: { kind: "token" },
        rules: [{ path: /token/, fault: { kind: "redirect", to: elsewhere.url, status: 307 } }],
      },
      (server) => ({ auth: { [server.host]: "X-Identity s3cret" } }),
    );
    expect(describe(await failure(all.registry.image(all.reference)))).toContain("redirects to another address");
    expect(elsewhere.requests).toEqual([]);
  });

  test.each([
    ["file:///etc/passwd", "not a web address"],
    ["http://169.254.169.254/latest", "metadata"],
    ["http://[::ffff:a9fe:a9fe]/latest", "metadata"],
    ["http://2852039166/latest", "metadata"],
    ["http://metadata.google.internal/x", "metadata"],
    ["http://[fe80::1]/", "metadata"],
    ["http://", "malformed"],
  ])("to %s are refused", async (to, words) => {
    await using all = await serving({ rules: [{ path: /manifests/, fault: { kind: "redirect", to } }] });
    expect(describe(await failure(all.registry.image(all.reference)))).toContain(words);
  });

  test.each([401, 403, 404, 429, 500])("to a registry that refuses name that one: %i", async (status) => {
    const fault: Fault = {
      kind: "status",
      status,
      headers: { "www-authenticate": 'Bearer realm="https://auth.else.io"' },
    };
    await using elsewhere = await startFaultRegistry({ rules: [{ path: /./, fault }] });
    const redirect: Fault = { kind: "redirect", to: `${elsewhere.url}/v2/else/app/manifests/v1` };
    for (const auth of [undefined, basic("u:p")]) {
      await using all = await serving({ rules: [{ path: /manifests/, fault: redirect }] }, ({ host }) => ({
        ...(auth === undefined ? {} : { auth: { [host]: auth } }),
        timing: { ...quick, limitedMs: 0 },
      }));
      const { message, hint = "" } = await failure(all.registry.image(all.reference));
      const { host } = all.server;
      expect(message).toContain(`${elsewhere.host}, where ${host} redirects to, answered ${status}`);
      expect(message).toContain("(credentials: none are sent there)");
      expect(hint).toContain(status === 404 ? host : elsewhere.host);
      if (status < 404) expect(hint).toContain(`log in to ${elsewhere.host}`);
      expect(hint).not.toContain("set CNB_REGISTRY_AUTH");
    }
  });

  test("of a blob to a store that refuses it do not lead to a login there", async () => {
    const refusal: Fault = { kind: "status", status: 403, headers: {} };
    await using store = await startFaultRegistry({ rules: [{ path: /./, fault: refusal }] });
    const redirect: Fault = { kind: "redirect", to: `${store.url}/bucket?signature=old` };
    for (const rule of [{ path: /blobs/, after: 1 }, { path: /blobs/ }, { path: /manifests/ }]) {
      await using all = await serving({ rules: [{ ...rule, fault: redirect }] });
      const { hint = "" } = await failure(pull(all));
      expect(hint).toContain(`${store.host} does not take the address that ${all.server.host} gives for it`);
      expect(hint).not.toContain("log in");
    }
  });

  test("end", async () => {
    await using all = await serving({
      rules: [{ path: /manifests/, fault: { kind: "redirect", to: "/v2/org/app/manifests/v1" } }],
    });
    expect(describe(await failure(all.registry.image(all.reference)))).toContain("after 10 redirects");
  });
});
