import { expect, describe as group } from "bun:test";
import {
  anyManifest,
  blobOf,
  type Case,
  cacheImage,
  configOf,
  expectCold,
  expectLayers,
  expectNeighbour,
  expectWarning,
  forEach,
  healthy,
  labelOf,
  names,
  restore,
  restoreTest,
  type Setup,
  sbomTar,
  status,
  statuses,
  tars,
} from "../support/cache-faults.ts";
import { metadataName } from "../support/cache-fixture.ts";
import { digestOf, type Fault, testImage } from "../support/fault-registry.ts";

/** Whether it takes a while to give up: a registry that limits its clients will have time for us. */
const isWaitedFor = (fault: Fault) => fault.kind === "status" && fault.status === 429;

group("a registry that fails at a blob costs its layer", () => {
  const at = (fault: Fault): Setup => ({ rules: [{ path: blobOf(healthy), fault }], isSlow: isWaitedFor(fault) });
  forEach(
    [
      ...[...statuses, 404].map((code): Case => [`with ${code}`, at(status(code)), "127.0.0.1", `${code}`]),
      ["by ending the connection instead of an answer", at({ kind: "reset" }), "127.0.0.1"],
      ["by ending every connection at once", at({ kind: "cut", at: 0 }), "127.0.0.1"],
      ["by a redirect in circles", at({ kind: "redirect", to: "#" }), "redirects"],
      [
        "by a redirect to a machine's own credentials",
        at({ kind: "redirect", to: "http://169.254.169.254/x" }),
        "169.254",
      ],
    ],
    (outcome, ...words) => {
      expectNeighbour(outcome, ...words);
      expect(outcome.stderr).not.toContain("secret page");
    },
  );

  restoreTest("and none of the SBOM files costs the layers nothing", async () => {
    const image = testImage({ layers: [...tars, sbomTar], labels: labelOf({}, digestOf(sbomTar)) });
    const { exitCode, stderr, after } = await restore({
      image,
      rules: [{ path: blobOf(image, 2), fault: { kind: "corrupt" } }],
    });
    expectWarning(stderr, "Not restoring SBOM files from cache: ");
    expect(exitCode).toBe(0);
    expectLayers(after, names);
    expectLayers((await restore({ image })).after, names, ["bp/one.sbom.cdx.json"]);
  });
});

group("a registry that fails at the image costs the cache", () => {
  const places: [where: string, path: RegExp][] = [
    ["manifest", anyManifest],
    ["config", configOf(healthy)],
  ];
  for (const [where, path] of places) {
    const at = (fault: Fault): Setup => ({ rules: [{ path, fault }], isSlow: isWaitedFor(fault) });
    forEach(
      [
        ...statuses.map(
          (code): Case => [`with ${code} at its ${where}`, at(status(code)), "127.0.0.1", `${code}`, "credentials"],
        ),
        // Of what is fetched by tag nobody knows the digest.
        ...(where === "config" ? [[`with another byte in its ${where}`, at({ kind: "corrupt" }), where] as const] : []),
        [`with garbage as its ${where}`, at({ kind: "garbage" }), where],
        [`with half of its ${where}`, at({ kind: "short" }), where],
        [`with a ${where} of 50 MB`, at({ kind: "huge", bytes: 50e6 }), where, "more than"],
        [`by ending the connection at its ${where}`, at({ kind: "reset" }), where],
      ],
      (outcome, ...words) => {
        expectCold(outcome, ...words);
        expect(outcome.stderr).not.toContain("secret page");
      },
    );
  }
  const labelled = (text: string): Setup => ({ image: cacheImage({ labels: { [metadataName]: text } }) });
  forEach(
    [
      ["with 404 at its config", { rules: [{ path: configOf(healthy), fault: status(404) }] }, "404"],
      ["with a label that is not JSON", labelled("{"), "cache"],
      ["with a label that is not an object", labelled("[1]"), "cache"],
      [
        "with fewer diffIDs than layers",
        { image: cacheImage({ editConfig: (config) => ({ ...config, rootfs: { diff_ids: [] } }) }) },
      ],
      [
        "as long as its token server is down",
        { auth: { kind: "token", realm: "http://127.0.0.1:1/token" } },
        "127.0.0.1:1",
        "token",
      ],
      [
        "as long as its token server fails",
        { auth: { kind: "token" }, rules: [{ path: /^\/token/, fault: status(503) }] },
        "token",
        "503",
      ],
      [
        "as long as its token server talks nonsense",
        { auth: { kind: "token" }, rules: [{ path: /^\/token/, fault: { kind: "garbage" } }] },
        "token",
      ],
      [
        "whose token server is a machine's own metadata service",
        { auth: { kind: "token", realm: "http://169.254.169.254/token" } },
        "169.254.169.254",
      ],
    ],
    expectCold,
  );

  const missing = (body: string): Setup => ({
    rules: [{ path: anyManifest, fault: { kind: "status", status: 404, body } }],
  });
  for (const code of ["MANIFEST_UNKNOWN", "NAME_UNKNOWN", "NOT_FOUND"]) {
    restoreTest(`but an image that is not there is a first build: ${code}`, async () => {
      const first = await restore(missing(JSON.stringify({ errors: [null, { code }] })));
      expect(first).toMatchObject({ exitCode: 0, stderr: "" });
      expect(first.stdout).toContain("Layer cache not found: cache image");
    });
  }

  restoreTest("and a 404 that is not a registry's is a warning", async () => {
    const wrong = await restore(missing("<html>nothing here</html>"));
    expect(wrong).toMatchObject({ exitCode: 0 });
    expectWarning(wrong.stderr, `No cache image "${wrong.host}/cache"`, "404");
  });

  for (const code of [401, 403]) {
    restoreTest(`and a ${code} for its config says nothing of a first build`, async () => {
      const denied = await restore({ rules: [{ path: /blobs/, fault: status(code) }] });
      expectWarning(denied.stderr, "failed to get the config of", `answered ${code}`);
      expect(denied.stderr).not.toContain("may also not exist yet");
    });

    restoreTest(`and a ${code} may be a first build, too, which is said`, async () => {
      for (const header of [undefined, "Bearer x"]) {
        const denied = { rules: [{ path: anyManifest, fault: status(code) }], ...(header && { header }) };
        expectCold(await restore(denied), "may also not exist yet: GHCR, Docker Hub, Quay and Google");
      }
    });
  }
});
