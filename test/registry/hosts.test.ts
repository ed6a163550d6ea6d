import { expect, describe as group, test } from "bun:test";
import { createHosts } from "../../lib/registry/hosts.ts";

group("where credentials may go", () => {
  const { refuseRealm, refuseRedirect, schemes, verifies } = createHosts(["insecure.example:5000", "plain.example"]);
  const realm = (registry: string, at: string, to: string, sendsSecret = true) =>
    refuseRealm(registry, new URL(at), new URL(to), sendsSecret);

  test("a public registry's token server is asked over https only", () => {
    expect(realm("reg.io", "https://reg.io/", "https://auth.else.io/token")).toBeUndefined();
    expect(realm("reg.io", "https://reg.io/", "http://auth.else.io/token")).toContain("https only");
    expect(realm("reg.io", "https://reg.io/", "https://u:p@auth.else.io/token")).toContain("user name");
    expect(realm("reg.io", "https://reg.io/", "file:///etc/passwd")).toContain("not a web address");
    for (const host of ["127.0.0.1", "localhost", "10.0.0.1", "[::1]", "0.0.0.0", "[fd12::1]", "192.168.3.4"]) {
      expect(realm("reg.io", "https://reg.io/", `https://${host}/token`)).toContain("internal");
    }
  });

  test("a local or insecure registry's may be asked in the clear", () => {
    expect(realm("127.0.0.1:5000", "http://127.0.0.1:5000/", "http://127.0.0.1:5001/token")).toBeUndefined();
    expect(
      realm("insecure.example:5000", "http://insecure.example:5000/", "http://auth.example/token"),
    ).toBeUndefined();
    expect(realm("10.1.2.3", "https://10.1.2.3/", "http://auth.example/token")).toContain("https only");
  });

  test("nobody's is asked in the clear where the registry is not, unless it was named", () => {
    const local = ["127.0.0.1:5000", "localhost", "10.1.2.3", "192.168.7.8:443", "[::1]:5000", "insecure.example:5000"];
    for (const registry of local) {
      for (const token of ["127.0.0.1:5001", "10.1.2.4", "localhost:81", "auth.example", "insecure.example"]) {
        expect(realm(registry, `https://${registry}/`, `http://${token}/token`)).toContain(
          `https only; if it has no https, pass -insecure-registry ${token}`,
        );
      }
      for (const token of ["plain.example", "insecure.example:5000"]) {
        expect(realm(registry, `https://${registry}/`, `http://${token}/token`)).toBeUndefined();
      }
    }
  });

  test("who has no secret to send may ask in the clear, but nobody that others may not be led to", () => {
    const ask = (registry: string, to: string) => realm(registry, `https://${registry}/`, to, false);
    expect(ask("reg.io", "http://auth.else.io/token")).toBeUndefined();
    expect(ask("10.1.2.3", "http://10.1.2.4/token")).toBeUndefined();
    expect(ask("reg.io", "http://10.1.2.4/token")).toContain("internal");
    expect(ask("10.1.2.3", "http://169.254.169.254/token")).toContain("metadata");
    expect(ask("reg.io", "http://u:p@auth.else.io/token")).toContain("user name");
    expect(ask("reg.io", "ftp://auth.else.io/token")).toContain("not a web address");
  });

  test("nobody's may be a machine's metadata service", () => {
    for (const host of [
      "169.254.169.254",
      "[fe80::1]",
      "metadata.google.internal",
      "metadata",
      "[fd00:ec2::254]",
      "100.100.100.200",
    ]) {
      expect(realm("127.0.0.1:5000", "http://127.0.0.1:5000/", `http://${host}/token`)).toContain("metadata");
    }
  });

  test("plain http is for local and insecure registries, port and all", () => {
    const plain = [
      "localhost",
      "localhost:1",
      "a.localhost",
      "127.0.0.1:5",
      "[::1]:5",
      "10.0.0.1",
      "172.16.0.1:80",
      "172.31.1.1",
      "192.168.0.1",
      "insecure.example:5000",
      "plain.example",
    ];
    for (const name of plain) expect([name, schemes(name)]).toEqual([name, ["https", "http"]]);
    const secure = [
      "reg.io",
      "index.docker.io",
      "127.0.0.2",
      "172.32.0.1",
      "11.0.0.1",
      "10.0.0.1.evil.io",
      "insecure.example",
      "insecure.example:5001",
      "sub.plain.example",
      "plain.example:5000",
      "localhost.evil.io",
      "[::2]",
    ];
    for (const name of secure) expect([name, schemes(name)]).toEqual([name, ["https"]]);
  });

  test("an insecure registry may be named by its URL", () => {
    for (const named of ["http://a.example:5000", "https://a.example:5000/", " HTTPS://A.example:5000 "]) {
      const hosts = createHosts([named]);
      expect(hosts.schemes("a.example:5000")).toEqual(["https", "http"]);
      expect(hosts.verifies(new URL("https://a.example:5000/v2/"))).toBe(false);
      expect(hosts.schemes("a.example")).toEqual(["https"]);
    }
  });

  test("certificates go unverified for insecure registries only", () => {
    expect(verifies(new URL("https://insecure.example:5000/v2/"))).toBe(false);
    for (const url of [
      "https://insecure.example/",
      "https://insecure.example:5001/",
      "https://127.0.0.1/",
      "https://reg.io/",
    ]) {
      expect(verifies(new URL(url))).toBe(true);
    }
  });

  test("redirects do not lead from https to http", () => {
    const lead = (from: string, to: string) => refuseRedirect("reg.io", new URL(from), new URL(to));
    expect(lead("https://reg.io/", "http://cdn.io/x")).toContain("plain http");
    expect(lead("https://reg.io/", "https://cdn.io/x")).toBeUndefined();
    expect(lead("https://reg.io/", "https://10.0.0.1/x")).toContain("internal");
    expect(lead("https://reg.io/", "http://plain.example/x")).toBeUndefined();
  });
});
