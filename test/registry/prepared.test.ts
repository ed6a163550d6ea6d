import { expect, describe as group, test } from "bun:test";
import { describe } from "../../lib/errors.ts";
import { parseReference } from "../../lib/oci/reference.ts";
import { eventually } from "../support/eventually.ts";
import { type FaultRule, startFaultRegistry } from "../support/fault-registry.ts";
import { client, collect, image, layers, type Setup } from "../support/registry-client.ts";
import { isTls, type Relay, startRelay } from "../support/relay.ts";

/** Where nothing but what is tested ends a wait. */
const patient = { probeMs: 600_000, answerMs: 600_000 };

async function clientOf({ host }: Pick<Relay, "host">, setup: Setup = {}) {
  const { registry } = await client([host], { timing: patient, ...setup });
  return { registry, reference: parseReference(`${host}/org/app:v1`) };
}

async function serving(rules: readonly FaultRule[] = []) {
  const server = await startFaultRegistry({ rules });
  server.push("org/app", "v1", image);
  return server;
}

group("connections that nothing is sent on yet", () => {
  test("are one in the clear while TLS is tried, which the first request then takes", async () => {
    await using server = await serving();
    using relay = await startRelay(server.host, (sent, connections) =>
      isTls(sent) ? eventually("another connection", () => connections[1]) : undefined,
    );
    const { registry, reference } = await clientOf(relay);
    await registry.image(reference);
    await registry.image({ ...reference, tag: "v1" });
    expect(relay.failures).toEqual([]);
    expect(relay.connections.map(({ sent, beside }) => [isTls(sent), beside])).toEqual([
      [true, 0],
      [false, 1],
    ]);
    expect(server.requests.map(({ path }) => path)).toEqual(["/v2/org/app/manifests/v1"]);
  });

  test("are for the blobs of an image while its config comes, and no more than there are", async () => {
    await using server = await serving();
    let others = 0;
    using relay = await startRelay(server.host, (sent, connections) => {
      if (!sent.includes("/blobs/") || others > 0) return undefined;
      others = connections.length;
      return eventually("a connection for blobs", () => connections[others]);
    });
    const { registry, reference } = await clientOf(relay);
    const found = await registry.image(reference);
    await registry.config(found, found.manifest.layers.length);
    expect(relay.failures).toEqual([]);
    const open = relay.connections.length;
    expect(open).toBeLessThanOrEqual(others + layers.length);
    await Promise.all(found.manifest.layers.map((layer) => collect(registry.blob(found, layer))));
    expect(relay.connections).toHaveLength(open);
    expect(server.requests).toHaveLength(2 + layers.length);
  });

  test("are none once the registry has limited its clients", async () => {
    const limited: FaultRule = {
      path: /manifests/,
      times: 1,
      fault: { kind: "status", status: 429, headers: { "retry-after": "0" } },
    };
    await using server = await serving([limited]);
    using relay = await startRelay(server.host);
    const { registry, reference } = await clientOf(relay);
    const found = await registry.image(reference);
    await registry.config(found, 8);
    for (const layer of found.manifest.layers) await collect(registry.blob(found, layer));
    expect(relay.connections.filter(({ sent }) => sent === "")).toEqual([]);
  });

  test("are none at the usual port, where the runtime opens none", async () => {
    const host = "127.0.0.1";
    const { registry, reference } = await clientOf({ host });
    // Whether anybody listens there is nothing to this test.
    const trouble = await registry.image(reference).then(() => "", describe);
    expect(trouble).not.toContain("Invalid port");
  });

  test("are none where a proxy stands between", async () => {
    await using proxy = await serving();
    using direct = await startRelay(proxy.host);
    // An address of this machine that goes by proxies.
    const host = direct.host.replace("127.0.0.1", "0.0.0.0");
    const { registry, reference } = await clientOf({ host }, { insecure: [host], env: { HTTP_PROXY: proxy.url } });
    const found = await registry.image(reference);
    await registry.config(found, 8);
    for (const layer of found.manifest.layers) await collect(registry.blob(found, layer));
    expect(proxy.requests.filter(({ status }) => status === 200)).toHaveLength(2 + layers.length);
    expect(direct.connections.filter(({ sent }) => !isTls(sent))).toEqual([]);
  });
});
