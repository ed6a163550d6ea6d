import { expect, describe as group, test } from "bun:test";
import { describe } from "../../lib/errors.ts";
import { parseReference } from "../../lib/oci/reference.ts";
import { type FaultAuth, type FaultRegistry, type FaultRule, startFaultRegistry } from "../support/fault-registry.ts";
import { anything, basic, client, failure, image, layers, pull } from "../support/registry-client.ts";

/** A registry that offers these schemes, "realm" standing for its token server's address, and lets one of them in. */
async function offering(challenge: string | string[], auth: FaultAuth, rules: readonly FaultRule[] = []) {
  const challenges: string[] = [];
  const server = await startFaultRegistry({ auth, challenge: challenges, rules });
  challenges.push(...[challenge].flat().map((text) => text.replace("realm=token", `realm="${server.url}/token"`)));
  server.push("org/app", "v1", image);
  return server;
}

async function pulling(server: FaultRegistry, header: string | undefined) {
  const auth = header === undefined ? {} : { auth: { [server.host]: header } };
  const { registry } = await client([server.host], auth);
  return { registry, reference: parseReference(`${server.host}/org/app:v1`) };
}

/** What was sent to the registry itself, in a word each. */
const sent = ({ requests }: FaultRegistry) =>
  requests
    .filter(({ path }) => path !== "/token")
    .map(({ headers }) => String(headers.authorization ?? "none").split(" ")[0]);

const bearerFirst = ['Bearer realm=token,service="test"', 'Basic realm="test"'];
const basicFirst = [...bearerFirst].reverse();
const inOne = ['Basic realm="test", Bearer realm=token,service="test", Negotiate'];
const orders = [bearerFirst, basicFirst, inOne];
const tokenServer: FaultAuth = { kind: "token", user: "u:p" };
const passwords: FaultAuth = { kind: "basic", user: "u:p" };

group("a registry that offers Basic and Bearer", () => {
  test.each(orders.map((order) => [order]))("and takes a token is given one at once: %j", async (order) => {
    await using server = await offering(order, tokenServer);
    await pull(await pulling(server, basic("u:p")));
    expect(sent(server)).toEqual(["none", ...Array(2 + layers.length).fill("Bearer")]);
    expect(server.count(/token/, anything)).toBe(1);
  });

  const broken: FaultRule["fault"][] = [
    { kind: "status", status: 401 },
    { kind: "status", status: 404 },
    { kind: "status", status: 200, body: "{}" },
    { kind: "status", status: 503 },
    { kind: "redirect", to: "http://169.254.169.254/token" },
  ];
  test.each(broken)("and takes passwords, while its token server fails, is shown one: %j", async (fault) => {
    for (const order of orders) {
      await using server = await offering(order, passwords, [{ path: /token/, fault }]);
      await pull(await pulling(server, basic("u:p")));
      expect(sent(server)).toEqual(["none", ...Array(2 + layers.length).fill("Basic")]);
    }
  });

  test("and takes passwords, while its tokens are worthless, is shown one", async () => {
    const token = { kind: "status", status: 200, body: '{"token":"worthless"}' } as const;
    await using server = await offering(basicFirst, passwords, [{ path: /token/, fault: token }]);
    await pull(await pulling(server, basic("u:p")));
    // What worked is what the next requests begin with.
    expect(sent(server)).toEqual(["none", "Bearer", "Bearer", ...Array(2 + layers.length).fill("Basic")]);
  });

  test("and names a token server that must not be asked is shown a password", async () => {
    const elsewhere = 'Bearer realm="http://169.254.169.254/token"';
    await using server = await offering([elsewhere, 'Basic realm="test"'], passwords);
    await pull(await pulling(server, basic("u:p")));
    expect(sent(server)).toEqual(["none", ...Array(2 + layers.length).fill("Basic")]);
  });

  test("is given our own token first, then a token server's", async () => {
    await using own = await offering(basicFirst, { kind: "bearer", token: "ours" });
    await pull(await pulling(own, "Bearer ours"));
    expect(own.count(/token/, anything)).toBe(0);
    await using other = await offering(basicFirst, { kind: "token" });
    await pull(await pulling(other, "Bearer outdated"));
    expect(other.count(/token/, anything)).toBe(1);
  });

  test("is not shown a password by who has none", async () => {
    await using server = await offering(basicFirst, { kind: "token" });
    await pull(await pulling(server, undefined));
    expect(server.requests.some(({ headers }) => String(headers.authorization).startsWith("Basic"))).toBe(false);
  });

  test("and takes neither is asked a few times, and its first trouble told", async () => {
    const denied = { kind: "status", status: 403, body: '{"details":"no token for you"}' } as const;
    await using server = await offering(basicFirst, passwords, [{ path: /token/, fault: denied }]);
    const { registry, reference } = await pulling(server, basic("u:wrong"));
    const error = await failure(registry.image(reference));
    expect(error.message).toContain("no token for you");
    expect([error.status, error.mayNotExist]).toEqual([403, true]);
    expect(sent(server)).toEqual(["none", "Basic"]);
  });

  test("and refuses every one is not asked for ever", async () => {
    await using server = await offering(basicFirst, { kind: "bearer", token: "none of ours" }, [
      { path: /token/, fault: { kind: "status", status: 200, body: '{"token":"worthless"}' } },
    ]);
    const { registry, reference } = await pulling(server, basic("u:p"));
    const error = await failure(registry.image(reference));
    expect([error.status, sent(server)]).toEqual([401, ["none", "Bearer", "Bearer", "Basic"]]);
  });
});

test("a registry that names another token server each time is not followed for ever", async () => {
  let hits = 0;
  const challenge: string[] = [];
  const server = Bun.serve({
    hostname: "127.0.0.1",
    port: 0,
    fetch(request) {
      const { pathname, origin } = new URL(request.url);
      if (pathname.startsWith("/token")) return Response.json({ token: "worthless" });
      challenge[0] = `Bearer realm="${origin}/token${hits++}"`;
      return new Response("", { status: 401, headers: { "www-authenticate": challenge[0] } });
    },
  });
  const host = `127.0.0.1:${server.port}`;
  const { registry } = await client([host]);
  expect(describe(await failure(registry.image(parseReference(`${host}/org/app`))))).toContain("answered 401");
  expect(hits).toBeLessThan(10);
  await server.stop(true);
});

test("two realms in one challenge are both asked", async () => {
  await using other = await startFaultRegistry({ auth: { kind: "token" } });
  other.rules.push({ path: /token/, fault: { kind: "status", status: 400 } });
  await using server = await offering([`Bearer realm="${other.url}/token"`, 'Bearer realm=token,service="test"'], {
    kind: "token",
  });
  await pull(await pulling(server, undefined));
  expect(other.count(/token/, anything)).toBe(1);
});
