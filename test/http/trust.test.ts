import { expect, describe as group } from "bun:test";
import { readFileSync } from "node:fs";
import { createServer } from "node:http";
import { type AddressInfo, connect } from "node:net";
import { describe } from "../../lib/errors.ts";
import { parseReference } from "../../lib/oci/reference.ts";
import { digestOf, startFaultRegistry } from "../support/fault-registry.ts";
import { have, skipUnless, tempDir } from "../support/harness.ts";
import { client, failure, image, layers, pull, serving } from "../support/registry-client.ts";

group("TLS:", () => {
  const tlsTest = skipUnless(have("openssl"), "openssl");
  /** A private authority and a certificate of it for this machine. */
  function authority(path: string): { ca: string; key: string; cert: string } {
    const script = `set -e; cd "${path}"
      openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -keyout ca.key -out ca.pem -days 2 -subj /CN=test-ca
      openssl req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -keyout key.pem -out csr.pem -subj /CN=localhost
      echo subjectAltName=IP:127.0.0.1 > ext
      openssl x509 -req -in csr.pem -CA ca.pem -CAkey ca.key -CAcreateserial -out cert.pem -days 2 -extfile ext
      mkdir certs; { echo junk; cat ca.pem; printf -- '-----BEGIN CERTIFICATE-----\\nAAAA\\n-----END CERTIFICATE-----\\n'; } > certs/any-name`;
    const { exitCode, stderr } = Bun.spawnSync(["sh", "-c", script]);
    if (exitCode !== 0) throw new Error(stderr.toString());
    const read = (name: string) => readFileSync(`${path}/${name}`, "utf8");
    return { ca: `${path}/ca.pem`, key: read("key.pem"), cert: read("cert.pem") };
  }

  tlsTest("a certificate of a private authority is refused, with what to do; never is http tried instead", async () => {
    using dir = tempDir("tls");
    await using all = await serving({ tls: authority(dir.path) });
    const error = await failure(all.registry.image(all.reference));
    expect(describe(error)).toContain("certificate");
    expect(error.hint).toContain("SSL_CERT_FILE");
    expect(all.lines.filter((line) => line.includes("http://"))).toEqual([]);
    expect(all.server.requests).toEqual([]);
  });

  tlsTest("SSL_CERT_FILE and every file in SSL_CERT_DIR are trusted, read before they are out of reach", async () => {
    using dir = tempDir("tls");
    const tls = authority(dir.path);
    await using server = await startFaultRegistry({ tls });
    server.push("org/app", "v1", image);
    const reference = parseReference(`${server.host}/org/app:v1`);
    const one = await client([], { env: { SSL_CERT_FILE: tls.ca } });
    const other = await client([], { env: { SSL_CERT_DIR: `/nonexistent:${dir.join("certs")}` } });
    Bun.spawnSync(["rm", "-r", tls.ca, dir.join("certs")]);
    await pull({ registry: one.registry, reference });
    await pull({ registry: other.registry, reference });
    expect(other.lines.join("\n")).toContain("SSL_CERT_DIR /nonexistent");
  });

  tlsTest("an insecure registry's certificate is not verified; another port's is", async () => {
    using dir = tempDir("tls");
    const tls = authority(dir.path);
    await using all = await serving({ tls }, (server) => ({ insecure: [server.host] }));
    await pull(all);
    const { registry } = await client([], { insecure: ["127.0.0.1", "127.0.0.1:1"] });
    await failure(registry.image(all.reference));
  });

  tlsTest("by way of a proxy that makes tunnels", async () => {
    using dir = tempDir("tls");
    const tls = authority(dir.path);
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
