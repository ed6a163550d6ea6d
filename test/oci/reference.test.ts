import { describe, expect, test } from "bun:test";
import { RestorerError } from "../../lib/failures.ts";
import {
  digestReference,
  formatReference,
  isRegistry,
  parseReference,
  withoutUserInfo,
} from "../../lib/oci/reference.ts";

const digest = `sha256:${"0123456789abcdef".repeat(4)}`;

describe("a reference is parsed by Docker's rules:", () => {
  test.each([
    ["ubuntu", "index.docker.io", "library/ubuntu", "latest", undefined],
    ["ubuntu:24.04", "index.docker.io", "library/ubuntu", "24.04", undefined],
    ["org/app", "index.docker.io", "org/app", "latest", undefined],
    ["docker.io/ubuntu", "index.docker.io", "library/ubuntu", "latest", undefined],
    ["docker.io/org/app:v1", "index.docker.io", "org/app", "v1", undefined],
    ["index.docker.io/library/ubuntu", "index.docker.io", "library/ubuntu", "latest", undefined],
    ["gcr.io/ubuntu", "gcr.io", "ubuntu", "latest", undefined],
    ["localhost/app", "localhost", "app", "latest", undefined],
    ["localhost:5000/app", "localhost:5000", "app", "latest", undefined],
    ["localhost:5000", "index.docker.io", "library/localhost", "5000", undefined],
    ["127.0.0.1:5000/example/x:latest", "127.0.0.1:5000", "example/x", "latest", undefined],
    ["[::1]:5000/example/x", "[::1]:5000", "example/x", "latest", undefined],
    ["registry.example.com/a/b/c/d:T.a_g-1", "registry.example.com", "a/b/c/d", "T.a_g-1", undefined],
    [`app/x@${digest}`, "index.docker.io", "app/x", undefined, digest],
    [`localhost:5000/app:v1@${digest}`, "localhost:5000", "app", "v1", digest],
    ["sub.localhost:80/a_b.c--d/e", "sub.localhost:80", "a_b.c--d/e", "latest", undefined],
  ])("%s", (text, registry, repository, tag, hash) => {
    const reference = parseReference(text);
    expect([reference.registry, reference.repository, reference.tag, reference.digest]).toEqual([
      registry,
      repository,
      tag,
      hash,
    ]);
  });
});

describe("a malformed reference is refused, by name and with the reason:", () => {
  test.each([
    ["", "2 to 255 characters"],
    ["a", "2 to 255 characters"],
    ["x".repeat(256), "2 to 255 characters"],
    ["Ubuntu", "lower-case"],
    ["reg.io/../../etc", '".."'],
    ["reg.io/a//b", "empty"],
    ["reg.io/a/./b", '"."'],
    ["reg.io/app:", "is not a tag"],
    ["reg.io/app:-bad tag", "is not a tag"],
    [`reg.io/app:${"t".repeat(129)}`, "is not a tag"],
    ["reg.io/app@sha256:abc", "is not a digest"],
    [`reg.io/app@sha512:${"a".repeat(64)}`, "is not a digest"],
    [`reg.io/app@${digest.toUpperCase()}`, "is not a digest"],
    [`reg.io/app@${digest}@${digest}`, "is not a digest"],
    ["https://reg.io/app", "URL"],
    ["reg.io:99999/app", "is not a registry"],
    ["reg.io:port/app", "is not a registry"],
    ["user:pw@reg.io/app", "it holds a user or password"],
    ["reg .io/app", "is not a registry"],
    ["reg.io/app?x=1", "holds only"],
    ["reg.io/app\nx", "holds only"],
  ])("%j", (text, reason) => {
    expect(() => parseReference(text)).toThrow(RestorerError);
    expect(() => parseReference(text)).toThrow(reason);
  });

  test("control characters in it never reach a message as they are", () => {
    expect(() => parseReference("reg.io/\x1b[31mred")).toThrow("\\x1b[31m");
  });
});

test("messages show a reference as it was written, the digest form is fully qualified as the lifecycle writes it", () => {
  const shown = (text: string) => formatReference(parseReference(text));
  expect(shown("ubuntu")).toBe("ubuntu:latest");
  expect(shown(`ubuntu:24.04@${digest}`)).toBe(`ubuntu:24.04@${digest}`);
  expect(digestReference(parseReference("127.0.0.1:5000/example/x:latest"), digest)).toBe(
    `127.0.0.1:5000/example/x@${digest}`,
  );
  expect(digestReference(parseReference("ubuntu"), digest)).toBe(`index.docker.io/library/ubuntu@${digest}`);
});

test("a registry is a host, perhaps with a port, and nothing more", () => {
  for (const good of ["a", "a.b", "a.b:1", "1.2.3.4", "[::1]", "[fe80::1]:443"]) expect(isRegistry(good)).toBe(true);
  for (const bad of ["", ".", "a/", "a:", "a:1:2", "a@b", "::1", "-a", "a?"]) expect(isRegistry(bad)).toBe(false);
});

describe("a word that should be a reference loses its user and password:", () => {
  test.each([
    ["me:PASSWORD@host/x", "***@host/x"],
    ["http://me:PASSWORD@host:5000/x", "http://***@host:5000/x"],
    ["https://PASSWORD@host/x", "https://***@host/x"],
    ["docker://me:PASS@sha1WORD@host/x", "docker://***@host/x"],
    ["me:PASS/WORD@host", "***@host"],
    [`me:PASSWORD@host/x@${digest}`, "***@host/x"],
  ])("%s", (word, shown) => {
    expect(withoutUserInfo(word)).toBe(shown);
    for (const text of [word, shown]) {
      expect(() => parseReference(text)).toThrow(/it holds a user or password/);
      expect(() => parseReference(text)).not.toThrow(/PASS/);
    }
  });

  test.each([`host:5000/x:v1@${digest}`, "host:5000/x@latest", "oci:/a@b/c:d@e", "./a@b/c", "/a:b@c/d", "x@sha256:1"])(
    "not %s",
    (word) => expect(withoutUserInfo(word)).toBe(word),
  );
});
