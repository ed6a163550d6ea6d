import { expect, describe as group, test } from "bun:test";
import { createServer, type ServerResponse } from "node:http";
import { describe } from "../../lib/errors.ts";
import { createProxies } from "../../lib/http/proxy.ts";
import { parseReference } from "../../lib/oci/reference.ts";
import { close, listen } from "../support/loopback.ts";
import { basic, client, failure, image } from "../support/registry-client.ts";

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

  test.each(["socks5", "socks5h", "socks4", "SOCKS5", "ftp"])(
    "that speak something else are named, with what to do: %s",
    async (kind) => {
      const { registry } = await client([], { env: { HTTPS_PROXY: `${kind}://u:s3cret@127.0.0.1:1` } });
      const error = await failure(registry.image(parseReference("reg.example.test/org/app")));
      expect(describe(error)).toContain(
        `the proxy ${kind.toLowerCase()}://127.0.0.1:1: proxies of this kind are not supported`,
      );
      expect(error.hint).toContain("Only http:// and https:// proxies are.");
      expect(Bun.inspect(error)).not.toContain("s3cret");
    },
  );

  test.each(["::::", "http://u:s3cret@host:99999"])(
    "that cannot be used are an error, not a way around them: %s",
    async (proxy) => {
      const { registry } = await client([], { env: { HTTPS_PROXY: proxy } });
      const error = await failure(registry.image(parseReference("reg.example.test/org/app")));
      expect(describe(error)).toContain("by way of the proxy");
      expect(error.hint).toContain("Check HTTPS_PROXY");
      expect(Bun.inspect(error)).not.toContain("s3cret");
    },
  );

  /** A proxy that answers so to requests for tunnels, and so to others; what it was asked. */
  async function startProxy(tunnel: string, plain: (response: ServerResponse) => void) {
    const asked: string[] = [];
    const proxy = createServer((request, response) => {
      asked.push(`${request.method} ${request.url} ${request.headers["proxy-authorization"]}`);
      plain(response);
    });
    proxy.on("connect", (request, socket) => {
      asked.push(`${request.method} ${request.url} ${request.headers["proxy-authorization"]}`);
      socket.end(`HTTP/1.1 ${tunnel}\r\nContent-Length: 0\r\n\r\n`);
    });
    const port = await listen(proxy);
    return { port, asked, [Symbol.asyncDispose]: () => close(proxy) };
  }

  test("are used, and their password stays out of every message", async () => {
    await using proxy = await startProxy("407 Proxy Authentication Required", (response) =>
      response.writeHead(403).end(),
    );
    const env = { HTTPS_PROXY: `http://user:s3cret@127.0.0.1:${proxy.port}` };
    const { registry, lines } = await client([], { env });
    const error = await failure(registry.image(parseReference("reg.example.test/org/app")));
    expect(proxy.asked).toEqual([`CONNECT reg.example.test:443 ${basic("user:s3cret")}`]);
    expect(describe(error)).toContain(
      `by way of the proxy http://127.0.0.1:${proxy.port}: the proxy answered 407 Proxy Authentication Required`,
    );
    expect(error.hint).toContain("set HTTPS_PROXY to http://user:password@host:port");
    expect([...lines, describe(error), Bun.inspect(error)].join("\n")).not.toMatch(/s3cret|czNjcmV0/);
  });

  const insecure = "reg.example.test:5000";
  test.each([
    "403 Forbidden",
    "405 Method Not Allowed",
    "407 Proxy Authentication Required",
    "501 Not Implemented",
    "503 Service Unavailable",
  ])("that make no tunnel pass on plain http to a registry that may speak it: %s", async (tunnel) => {
    await using proxy = await startProxy(tunnel, (response) => {
      response.writeHead(200, { "content-type": image.mediaType }).end(image.bytes);
    });
    const address = `http://127.0.0.1:${proxy.port}`;
    for (const name of [insecure, "10.1.2.3:5000"]) {
      proxy.asked.length = 0;
      const env = { HTTPS_PROXY: address, HTTP_PROXY: address };
      const { registry } = await client([], { insecure: [insecure], env });
      const found = await registry.image(parseReference(`${name}/org/app:v1`));
      expect(found.descriptor.digest).toBe(image.digest);
      expect(proxy.asked).toEqual([
        `CONNECT ${name} undefined`,
        `GET http://${name}/v2/org/app/manifests/v1 undefined`,
      ]);
    }
  });

  test("may know a name that is known nowhere else, of a registry that may speak plain http", async () => {
    await using proxy = await startProxy("403 Forbidden", (response) => {
      response.writeHead(200, { "content-type": image.mediaType }).end(image.bytes);
    });
    const name = "registry.invalid:5000";
    const env = { HTTP_PROXY: `http://127.0.0.1:${proxy.port}` };
    const { registry } = await client([], { insecure: [name], env });
    const found = await registry.image(parseReference(`${name}/org/app:v1`));
    expect(found.descriptor.digest).toBe(image.digest);
    expect(proxy.asked).toEqual([`GET http://${name}/v2/org/app/manifests/v1 undefined`]);
  });

  test.each([
    ["socks5", "Put one before the SOCKS proxy"],
    ["ftp", "Name one in HTTPS_PROXY"],
  ])("of a kind that is not supported are told: %s", async (scheme, words) => {
    const { registry } = await client([], { env: { HTTPS_PROXY: `${scheme}://127.0.0.1:1` } });
    const error = await failure(registry.image(parseReference("reg.example.test/org/app")));
    expect(describe(error)).toContain(`${scheme}://127.0.0.1:1: proxies of this kind are not supported`);
    expect(error.hint).toContain(`Only http:// and https:// proxies are. ${words}`);
  });

  test.each([
    [403, "403 Forbidden", "answered 403"],
    [407, "407 Proxy Authentication Required", "answered 407"],
    [502, "403 Forbidden", "answered 502"],
  ])("that pass on nothing are told, with both their answers: %i", async (status, tunnel, words) => {
    await using proxy = await startProxy(tunnel, (response) => response.writeHead(status).end());
    const address = `http://127.0.0.1:${proxy.port}`;
    const { registry } = await client([], { insecure: [insecure], env: { HTTPS_PROXY: address, HTTP_PROXY: address } });
    const error = await failure(registry.image(parseReference(`${insecure}/org/app`)));
    expect(describe(error)).toContain(`${insecure} by way of the proxy ${address}`);
    expect(describe(error)).toContain(words);
  });

  test.each([
    ["403 Forbidden", 1, "Ask whoever runs the proxy to let reg.example.test through"],
    ["502 Bad Gateway", 4, "The proxy cannot reach reg.example.test"],
    ["503 Service Unavailable", 4, "The proxy cannot reach reg.example.test"],
    ["504 Gateway Timeout", 4, "The proxy cannot reach reg.example.test"],
  ])("that refuse a registry which must have TLS are told: %s", async (tunnel, times, words) => {
    await using proxy = await startProxy(tunnel, (response) => response.end());
    const { registry } = await client([], { env: { HTTPS_PROXY: `http://127.0.0.1:${proxy.port}` } });
    const error = await failure(registry.image(parseReference("reg.example.test/org/app")));
    expect(describe(error)).toContain(`the proxy answered ${tunnel}`);
    expect(error.hint).toContain(words);
    expect(proxy.asked).toHaveLength(times);
  });
});
