import { expect, describe as group, test } from "bun:test";
import { readFileSync } from "node:fs";
import { describe } from "../../lib/errors.ts";
import { parseReference } from "../../lib/oci/reference.ts";
import { certificates } from "../support/certificates.ts";
import { startFaultRegistry } from "../support/fault-registry.ts";
import { basic, client, failure, image, pull, type Setup } from "../support/registry-client.ts";

const { authority, server: own } = certificates;
const tls = { key: readFileSync(own.key, "utf8"), cert: readFileSync(own.cert, "utf8") };

/** A registry that speaks https, its token server that speaks http, and what that was asked. */
async function scene(setup: (registry: string, tokens: string) => Setup) {
  const asked: (string | null)[] = [];
  const tokens = Bun.serve({
    hostname: "127.0.0.1",
    port: 0,
    fetch(request) {
      asked.push(request.headers.get("authorization"));
      const { pathname } = new URL(request.url);
      return pathname === "/moved" ? Response.redirect("/token") : Response.json({ token: "T" });
    },
  });
  const challenge: string[] = [];
  const server = await startFaultRegistry({ tls, auth: { kind: "bearer", token: "T" }, challenge });
  server.push("org/app", "v1", image);
  const given = setup(server.host, tokens.url.host);
  const { registry } = await client([server.host], { ...given, env: { SSL_CERT_FILE: authority } });
  return {
    asked,
    registry,
    reference: parseReference(`${server.host}/org/app:v1`),
    /** Names the token server in the registry's challenge, with or without quotes. */
    naming(path: string, mark = '"') {
      challenge[0] = `Bearer realm=${mark}http://${tokens.url.host}${path}${mark},service=test`;
    },
    async [Symbol.asyncDispose]() {
      await tokens.stop(true);
      await server[Symbol.asyncDispose]();
    },
  };
}

group("a token server at an http: address, named by an https registry,", () => {
  test.each([
    ["/token", '"'],
    ["/moved", '"'],
    ["/token", ""],
  ])("is asked where there is no secret to send: %s in %j", async (path, mark) => {
    await using all = await scene(() => ({}));
    all.naming(path, mark);
    await pull(all);
    expect(all.asked).toEqual(Array(path === "/moved" ? 2 : 1).fill(null));
  });

  test.each([basic("u:s3cret"), "X-Identity s3cret"])("is not asked where there is: %s", async (header) => {
    await using all = await scene((host) => ({ auth: { [host]: header } }));
    all.naming("/token");
    const error = await failure(all.registry.image(all.reference));
    expect(describe(error)).toContain("credentials are sent over https only");
    expect(all.asked).toEqual([]);
  });

  test("is sent a secret where it was named insecure", async () => {
    await using all = await scene((host, tokens) => ({ auth: { [host]: basic("u:p") }, insecure: [tokens] }));
    all.naming("/token");
    await pull(all);
    expect(all.asked).toEqual([basic("u:p")]);
  });
});
