import { expect, describe as group, test } from "bun:test";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { describe } from "../../lib/errors.ts";
import { createProxies } from "../../lib/http/proxy.ts";
import { parseReference } from "../../lib/oci/reference.ts";
import { basic, client, failure } from "../support/registry-client.ts";

group("proxies", () => {
  const through = (env: Record<string, string>, url: string) => createProxies(env)(new URL(url))?.url;
  const both = { HTTPS_PROXY: "http://secure:1", http_proxy: "plain:2" };

  test("are chosen by scheme, from variables of either case", () => {
    expect(through(both, "https://reg.io/")).toBe("http://secure:1");
    expect(through(both, "http://reg.io/")).toBe("http://plain:2");
    expect(through({}, "https://reg.io/")).toBeUndefined();
    expect(through({ https_proxy: "http://lower:1", HTTPS_PROXY: "http://upper:1" }, "https://reg.io/")).toBe(
      "http://upper:1",
    );
  });

  test("never stand before this machine", () => {
    for (const host of ["localhost", "127.0.0.1:5000", "127.1.2.3", "[::1]:5000"]) {
      expect(through(both, `https://${host}/`)).toBeUndefined();
    }
    expect(through(both, "https://10.0.0.1/")).toBeDefined();
  });

  test.each([
    ["*", "https://reg.io/", true],
    ["reg.io", "https://reg.io/", true],
    ["REG.io", "https://sub.Reg.IO/", true],
    ["reg.io", "https://otherreg.io/", false],
    [".reg.io", "https://sub.reg.io/", true],
    [".reg.io", "https://reg.io/", false],
    ["*.reg.io", "https://sub.reg.io/", true],
    ["reg.io:443", "https://reg.io/", true],
    ["reg.io:5000", "https://reg.io/", false],
    ["reg.io:5000", "https://reg.io:5000/", true],
    ["10.0.0.0/8", "https://10.1.2.3/", true],
    ["10.0.0.0/8", "https://11.1.2.3/", false],
    ["10.1.2.3", "https://10.1.2.3:5000/", true],
    ["10.1.2.3:5000", "https://10.1.2.3:5000/", true],
    ["fd00::/8", "https://[fd12::1]/", true],
    ["fd12::1", "https://[fd12::1]/", true],
    [" other.io , reg.io ", "https://reg.io/", true],
    ["", "https://reg.io/", false],
    ["10.0.0.0/99", "https://10.1.2.3/", false],
  ])("NO_PROXY=%s, for %s: %p", (entries, url, direct) => {
    expect(through({ ...both, NO_PROXY: entries }, url) === undefined).toBe(direct);
  });

  test.each(["::::", "http://u:s3cret@host:99999", "socks5://u:s3cret@127.0.0.1:1"])(
    "that cannot be used are an error, not a way around them: %s",
    async (proxy) => {
      const { registry } = await client([], { env: { HTTPS_PROXY: proxy } });
      const error = await failure(registry.image(parseReference("reg.example.test/org/app")));
      expect(describe(error)).toContain("by way of the proxy");
      expect(error.hint).toContain("Check HTTPS_PROXY");
      expect(Bun.inspect(error)).not.toContain("s3cret");
    },
  );

  test("are used, and their password stays out of every message", async () => {
    const asked: string[] = [];
    const proxy = createServer((request, response) => {
      asked.push(`${request.method} ${request.url} ${request.headers["proxy-authorization"]}`);
      response.writeHead(403).end();
    });
    proxy.on("connect", (request, socket) => {
      asked.push(`${request.method} ${request.url} ${request.headers["proxy-authorization"]}`);
      socket.end("HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n");
    });
    await new Promise<void>((done) => {
      proxy.listen(0, "127.0.0.1", done);
    });
    const { port } = proxy.address() as AddressInfo;
    const { registry, lines } = await client([], { env: { HTTPS_PROXY: `http://user:s3cret@127.0.0.1:${port}` } });
    const error = await failure(registry.image(parseReference("reg.example.test/org/app")));
    proxy.close();
    expect(asked).toEqual([`CONNECT reg.example.test:443 ${basic("user:s3cret")}`]);
    expect(describe(error)).toContain(`by way of the proxy http://127.0.0.1:${port}`);
    expect(error.hint).toContain("HTTPS_PROXY");
    expect([...lines, describe(error), Bun.inspect(error)].join("\n")).not.toMatch(/s3cret|czNjcmV0/);
  });
});
