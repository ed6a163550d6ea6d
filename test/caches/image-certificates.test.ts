import { afterAll, beforeAll, expect, describe as group } from "bun:test";
import { readFileSync } from "node:fs";
import {
  all,
  asVariable,
  basic,
  cacheImage,
  expectCold,
  expectNoSecret,
  expectWarm,
  password,
  restore,
  shareRegistry,
} from "../support/cache-image-fixture.ts";
import { certificates } from "../support/certificates.ts";
import { program, push, type RealRegistry, startRegistry, withRegistry } from "../support/docker-registry.ts";
import { hangMs, tempDir } from "../support/harness.ts";

const { authority, alone } = certificates;

shareRegistry();

group("a registry with a certificate", () => {
  let registry: RealRegistry | undefined;
  let selfSigned: RealRegistry | undefined;
  beforeAll(async () => {
    if (program === null) return;
    const { dir, open } = all();
    const tls = ({ cert, key }: typeof certificates.server | typeof alone) => ({ tls: { certificate: cert, key } });
    registry = await startRegistry(dir, "tls", tls(certificates.server));
    selfSigned = await startRegistry(dir, "self-signed", tls(alone));
    await push(open, "tls/cache", "latest", cacheImage());
  }, hangMs);
  afterAll(async () => {
    await registry?.[Symbol.asyncDispose]();
    await selfSigned?.[Symbol.asyncDispose]();
  });
  const image = (from: RealRegistry | undefined) => `${from?.host}/tls/cache`;
  const pem = (path: string) => readFileSync(path, "utf8");

  withRegistry("of a private authority is trusted by SSL_CERT_FILE", async () => {
    expectWarm(await restore(image(registry), { SSL_CERT_FILE: authority }));
  });

  withRegistry("of a private authority is trusted by any file in any directory of SSL_CERT_DIR", async () => {
    using dir = tempDir("certificates", {
      first: { "not-a-certificate.txt": "hello\n", subdirectory: {}, "bad.pem": pem(authority).slice(0, 300) },
      second: { "our company's authorities": `# ours\n${pem(alone.cert)}\n${pem(authority)}` },
    });
    expectWarm(await restore(image(registry), { SSL_CERT_DIR: `${dir.join("first")}:${dir.join("second")}` }));
  });

  withRegistry("of a private authority is not trusted otherwise, nor asked for anything", async () => {
    const before = (await registry?.answers("tls/cache", 0)) ?? [];
    const env = asVariable(registry?.host ?? "", `Basic ${basic(password)}`);
    const result = await restore(image(registry), env);
    expectCold(result, registry?.host ?? "", "certificate", "SSL_CERT_FILE");
    expectNoSecret(result, password);
    using dir = tempDir("certificates", { "other.pem": pem(alone.cert) });
    expectCold(await restore(image(registry), { SSL_CERT_FILE: dir.join("other.pem") }), "SSL_CERT_FILE");
    expect(await registry?.answers("tls/cache", 0)).toEqual(before);
  });

  withRegistry("signed by itself is taken where the registry is named insecure, port and all", async () => {
    const host = selfSigned?.host ?? "";
    expectWarm(await restore(image(selfSigned), {}, "-insecure-registry", host));
    expectWarm(await restore(image(selfSigned), { CNB_INSECURE_REGISTRIES: `example.com,${host}` }));
    expectWarm(await restore(image(selfSigned), { SSL_CERT_FILE: alone.cert }));
    expectCold(await restore(image(selfSigned)), host, "certificate");
    for (const other of ["127.0.0.1", "127.0.0.1:1", host.replace("127.0.0.1", "localhost")]) {
      expectCold(await restore(image(selfSigned), {}, "-insecure-registry", other), host, "certificate");
    }
  });
});
