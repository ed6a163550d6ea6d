import { expect, describe as group, test } from "bun:test";
import { X509Certificate } from "node:crypto";
import { readFileSync } from "node:fs";
import { createServer } from "node:http";
import { createServer as createTlsServer } from "node:https";
import { type AddressInfo, connect } from "node:net";
import { describe } from "../../lib/errors.ts";
import { parseReference } from "../../lib/oci/reference.ts";
import { analyzedToml, groupToml } from "../support/cache-fixture.ts";
import { certificates } from "../support/certificates.ts";
import { digestOf, startFaultRegistry } from "../support/fault-registry.ts";
import { runRestorer, tempDir } from "../support/harness.ts";
import { close, listen } from "../support/loopback.ts";
import { client, failure, image, layers, pull, serving } from "../support/registry-client.ts";

group("TLS:", () => {
  const { authority, server: own } = certificates;
  const tls = { key: readFileSync(own.key, "utf8"), cert: readFileSync(own.cert, "utf8") };

  test("a certificate of a private authority is refused, with what to do; never is http tried instead", async () => {
    await using all = await serving({ tls });
    const error = await failure(all.registry.image(all.reference));
    expect(describe(error)).toContain("certificate");
    expect(error.hint).toContain("SSL_CERT_FILE");
    expect(all.lines.filter((line) => line.includes("http://"))).toEqual([]);
    expect(all.server.requests).toEqual([]);
  });

  test("SSL_CERT_FILE and every file in SSL_CERT_DIR are trusted, read before they are out of reach", async () => {
    const broken = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    const ca = readFileSync(authority, "utf8");
    using dir = tempDir("tls", { "ca.pem": ca, certs: { "any-name": `junk\n${ca}${broken}` } });
    await using server = await startFaultRegistry({ tls });
    server.push("org/app", "v1", image);
    const reference = parseReference(`${server.host}/org/app:v1`);
    const one = await client([], { env: { SSL_CERT_FILE: dir.join("ca.pem") } });
    const other = await client([], { env: { SSL_CERT_DIR: `${dir.join("none")}:${dir.join("certs")}` } });
    Bun.spawnSync(["rm", "-r", dir.join("ca.pem"), dir.join("certs")]);
    await pull({ registry: one.registry, reference });
    await pull({ registry: other.registry, reference });
    expect(other.lines.join("\n")).toContain(`SSL_CERT_DIR "${dir.join("none")}"`);
  });

  test.each<[what: string, content: string | Uint8Array | undefined, says: string]>([
    ["something else", "root:x:0:0::/root:/bin/sh\n", "holds no PEM certificate"],
    ["nothing", "", "holds no PEM certificate"],
    ["a private key", tls.key, "holds no PEM certificate"],
    ["DER", new X509Certificate(readFileSync(authority)).raw, "holds no PEM certificate"],
    ["a damaged certificate", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", "no PEM certificate"],
    ["no file", undefined, "no such file"],
  ])("SSL_CERT_FILE or SSL_CERT_DIR with %s is told, and what it is for", async (_, content, says) => {
    using dir = tempDir("tls", content === undefined ? {} : { certs: { file: Buffer.from(content) } });
    const variables = { SSL_CERT_FILE: dir.join("certs/file"), SSL_CERT_DIR: dir.join("certs") };
    for (const [name, path] of Object.entries(variables)) {
      await using all = await serving({ tls }, { env: { [name]: path } });
      const { hint } = await failure(all.registry.image(all.reference));
      const told = all.lines.filter((line) => line.includes(`${name} "${path}"`));
      expect(told).toEqual([expect.stringContaining(says)]);
      expect(hint).toContain("set SSL_CERT_FILE to the authority's certificate");
    }
  });

  test("certificates that did not sign the server's are named as that", async () => {
    using dir = tempDir("tls", { certs: { "other.pem": readFileSync(certificates.alone.cert, "utf8") } });
    const [file, directory] = [dir.join("certs/other.pem"), dir.join("certs")];
    for (const [env, names] of [
      [{ SSL_CERT_FILE: file }, `SSL_CERT_FILE "${file}"`],
      [{ SSL_CERT_DIR: directory }, `SSL_CERT_DIR "${directory}"`],
      [{ SSL_CERT_FILE: file, SSL_CERT_DIR: directory }, `SSL_CERT_FILE "${file}" and SSL_CERT_DIR "${directory}"`],
    ] as const) {
      await using all = await serving({ tls }, { env });
      const { hint } = await failure(all.registry.image(all.reference));
      const advice = "add the certificate of the authority that did.";
      expect(hint).toBe(`None of the certificates in ${names} signed that of ${all.server.host}: ${advice}`);
      expect(all.lines.filter((line) => line.includes("SSL_CERT"))).toEqual([]);
    }
  });

  test("an insecure registry's certificate is not verified; another port's is", async () => {
    await using all = await serving({ tls }, (server) => ({ insecure: [server.host] }));
    await pull(all);
    const { registry } = await client([], { insecure: ["127.0.0.1", "127.0.0.1:1"] });
    expect(describe(await failure(registry.image(all.reference)))).toContain("certificate");
  });

  test("who named it insecure by another port is asked what was meant", async () => {
    await using all = await serving({ tls });
    const { host } = all.server;
    for (const named of ["127.0.0.1", "127.0.0.1:1"]) {
      const { registry } = await client([], { insecure: ["other.io", named] });
      const { hint } = await failure(registry.image(all.reference));
      expect(hint).toBe(`-insecure-registry ${named} is not for ${host}: did you mean -insecure-registry ${host}?`);
    }
  });

  test.each([
    ["has expired", certificates.expired, "has expired", "must renew it, unless this machine's clock is wrong"],
    ["is not valid yet", certificates.future, "is not valid yet", "unless this machine's clock is wrong"],
    ["is for another name", certificates.elsewhere, "is for another host", "a name of 127.0.0.1:"],
  ])("a certificate that %s is named for that, though its issuer is trusted", async (_, { cert, key }, words, hint) => {
    const wrong = { cert: readFileSync(cert, "utf8"), key: readFileSync(key, "utf8") };
    await using all = await serving({ tls: wrong }, { env: { SSL_CERT_FILE: cert } });
    const error = await failure(all.registry.image(all.reference));
    expect(describe(error)).toContain(`the certificate ${words}`);
    expect(error.hint).toContain(hint);
    expect(error.hint).not.toMatch(/SSL_CERT_FILE|insecure/);
    expect(all.server.requests).toEqual([]);
  });

  test.each(["TLSv1.2", "TLSv1.3"] as const)("a client certificate that is wanted is named: %s", async (version) => {
    const wanted = { requestCert: true, rejectUnauthorized: true, minVersion: version, maxVersion: version };
    const server = createTlsServer({ ...tls, ca: readFileSync(authority), ...wanted }, (_, response) => response.end());
    server.on("tlsClientError", () => {});
    const host = `127.0.0.1:${await listen(server)}`;
    const { registry } = await client([], { env: { SSL_CERT_FILE: authority } });
    const error = await failure(registry.image(parseReference(`${host}/org/app`)));
    expect(describe(error)).toMatch(/wants a client certificate/);
    expect(error.hint).toMatch(/Ask whoever runs it/);
    expect(error.hint).not.toMatch(/SSL_CERT_FILE|insecure/);
    await close(server);
  });

  test.each([400, 403, 496])("so it is where a %i says so", async (status) => {
    const body = "<html><center>No required SSL certificate was sent</center></html>";
    await using all = await serving({ rules: [{ path: /./, fault: { kind: "status", status, body } }] });
    expect((await failure(all.registry.image(all.reference))).hint).toContain("wants a client certificate");
  });

  test("by way of a proxy that makes tunnels", async () => {
    await using server = await startFaultRegistry({ tls });
    server.push("org/app", "v1", image);
    const proxy = createServer().on("connect", (_, socket) => {
      const [, port] = server.host.split(":");
      const upstream = connect(Number(port), "127.0.0.1", () => {
        socket.write("HTTP/1.1 200 OK\r\n\r\n");
        socket.pipe(upstream).pipe(socket);
      });
      for (const end of [socket, upstream]) end.on("error", () => {});
    });
    await new Promise<void>((done) => {
      proxy.listen(0, "127.0.0.1", done);
    });
    const { port } = proxy.address() as AddressInfo;
    // The name resolves nowhere: only the proxy can lead there. Its certificate is for another name, hence insecure.
    const name = "reg.example.test";
    const { registry } = await client([], { insecure: [name], env: { HTTPS_PROXY: `http://127.0.0.1:${port}` } });
    const { blobs } = await pull({ registry, reference: parseReference(`${name}/org/app:v1`) });
    expect(blobs.map(digestOf)).toEqual(layers.map(digestOf));
    proxy.closeAllConnections();
    proxy.close();
  });
});

test("a fifo for certificates keeps connections from being made: the runtime would wait for it", async () => {
  using dir = tempDir("trust", { "group.toml": groupToml([{ id: "bp" }]), "analyzed.toml": analyzedToml() });
  Bun.spawnSync(["mkfifo", dir.join("fifo")]);
  const env = { SSL_CERT_FILE: dir.join("fifo") };
  const { exitCode, stderr } = await runRestorer(["-layers", dir.path, "-cache-image", "127.0.0.1:1/a/b"], { env });
  expect(exitCode).toBe(0);
  expect(stderr).toContain("Not using the cache");
  expect(stderr).toContain(`SSL_CERT_FILE "${dir.join("fifo")}" is a fifo: reading it may never end`);
  // Where no registry is used nothing reads it.
  expect((await runRestorer(["-layers", dir.path], { env })).exitCode).toBe(0);
});
