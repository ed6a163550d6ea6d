import { expect, describe as group, test } from "bun:test";
import { chmodSync } from "node:fs";
import { describe } from "../../lib/errors.ts";
import { ExitCode, RestorerError } from "../../lib/failures.ts";
import { askDaemon } from "../../lib/images/daemon.ts";
import { isNotFound } from "../../lib/images/known-image.ts";
import { planImages } from "../../lib/images/plan.ts";
import { openImages } from "../../lib/images/resolve.ts";
import { answers, have, isRoot, skipUnless, type TempDir, tempDir } from "../support/harness.ts";
import { analyzedOf, inputsOf, rejection, rememberingLog } from "../support/image-fixture.ts";

const id = "0123456789abcdef".repeat(4);
const image = {
  Id: `sha256:${id}`,
  Os: "linux",
  Architecture: "arm64",
  Variant: "v8",
  Config: { Labels: { "io.buildpacks.base.id": "base", ["__proto__"]: "kept" } },
};

type Handler = (path: string) => Response | Promise<Response>;

/** A daemon on a socket below `dir`, and what it was asked. */
function daemonIn(dir: TempDir, handle: Handler) {
  const asked: string[] = [];
  const server = Bun.serve({
    unix: dir.join("docker.sock"),
    fetch(request) {
      const { pathname } = new URL(request.url);
      asked.push(pathname);
      return handle(pathname);
    },
  });
  return {
    asked,
    env: { DOCKER_HOST: `unix://${dir.join("docker.sock")}` },
    [Symbol.dispose]: () => server.stop(true),
  };
}

const options = (env: Record<string, string>, more = {}) => ({
  env,
  log: rememberingLog().log,
  signal: new AbortController().signal,
  ...more,
});

async function ask(name: string, env: Record<string, string>, more = {}) {
  return (await askDaemon([name], options(env, more))).image(name);
}

group("an image in a daemon", () => {
  test("has its id as reference, and gives os, architecture, variant and labels", async () => {
    using dir = tempDir();
    using daemon = daemonIn(dir, () => Response.json(image));
    const found = await ask("host.test/run:v1", daemon.env);
    expect(found.reference).toBe(id);
    const { labels, ...rest } = await found.config();
    expect(rest).toEqual({ os: "linux", architecture: "arm64", variant: "v8" });
    expect(labels.get("io.buildpacks.base.id")).toBe("base");
    expect(daemon.asked).toEqual(["/images/host.test/run:v1/json"]);
  });

  test("is told of with anything in the fields that are not needed", async () => {
    using dir = tempDir();
    const odd = { Os: null, Architecture: 5, Variant: null, RepoTags: 7, RootFS: null, Size: "large" };
    for (const Config of ["x", [], { Labels: null }, { Labels: ["a"] }, { Labels: { a: null, b: 5 }, Env: 5 }]) {
      using daemon = daemonIn(dir, () => Response.json({ Id: `sha256:${id}`, ...odd, Config }));
      const found = await ask("run", daemon.env);
      expect(found.reference).toBe(id);
      expect(await found.config()).toEqual({ os: "", architecture: "", variant: "", labels: new Map() });
    }
  });

  test("may have no labels, no variant, and an id without sha256, as podman gives it", async () => {
    using dir = tempDir();
    using daemon = daemonIn(dir, () => Response.json({ Id: id, Os: "linux", Architecture: "amd64", Config: null }));
    const found = await ask("run", daemon.env);
    expect(found.reference).toBe(id);
    expect(await found.config()).toEqual({ os: "linux", architecture: "amd64", variant: "", labels: new Map() });
  });

  test("on Docker Hub is also asked for by the name podman has for it", async () => {
    using dir = tempDir();
    using daemon = daemonIn(dir, (path) =>
      path === "/images/docker.io/library/run:v1/json" ? Response.json(image) : new Response("{}", { status: 404 }),
    );
    expect((await ask("index.docker.io/library/run:v1", daemon.env)).reference).toBe(id);
    expect((await ask("run:v1", daemon.env)).reference).toBe(id);
    expect(isNotFound(await rejection(ask("host.test/run:v1", daemon.env)))).toBeTrue();
  });

  test("is asked for ahead: nothing needs the socket afterwards", async () => {
    using dir = tempDir();
    let told: Awaited<ReturnType<typeof askDaemon>>;
    {
      using daemon = daemonIn(dir, (path) =>
        path.includes("gone") ? new Response("", { status: 404 }) : Response.json(image),
      );
      told = await askDaemon(["run", "host.test/gone"], options(daemon.env));
    }
    expect((await told.image("run")).reference).toBe(id);
    expect(isNotFound(await rejection(told.image("host.test/gone")))).toBeTrue();
  });

  test("whose name would make it another request is refused", async () => {
    using dir = tempDir();
    using daemon = daemonIn(dir, () => Response.json(image));
    for (const name of ["../containers/x", "a/../b", "a/./b", "a?b", "a#b", "a%2fb", "a b", "", "a//b"]) {
      expect((await rejection(ask(name, daemon.env))).message).toContain("invalid image name");
    }
    expect(daemon.asked).toEqual([]);
  });
});

group("a daemon that does not say all", () => {
  test.each([undefined, null, "", 5, "../../x"])("tells what an image is for, whatever its id is: %p", async (Id) => {
    using dir = tempDir();
    using daemon = daemonIn(dir, () => Response.json({ ...image, Id }));
    const known = await ask("run", daemon.env);
    expect(await known.config()).toMatchObject({ os: "linux" });
    expect(() => known.reference).toThrow('has no "Id" of 64 hexadecimal digits');
  });

  test("has what is deep in its answer passed over", async () => {
    using dir = tempDir();
    const deep = JSON.parse(`${"[".repeat(1000)}${"]".repeat(1000)}`);
    using daemon = daemonIn(dir, () => Response.json({ ...image, GraphDriver: deep, RootFS: null }));
    expect((await ask("run", daemon.env)).reference).toBe(id);
  });
});

group("trouble with a daemon is told", () => {
  const answers: [what: string, handle: Handler, says: RegExp][] = [
    [
      "an error, with the daemon's words",
      () => Response.json({ message: "bad\u001b" }, { status: 500 }),
      /500.*bad\\x1b/,
    ],
    ["no JSON", () => new Response("<html>"), /is not a JSON object/],
    ["another thing's JSON", () => Response.json({ Id: "../../x" }), /has neither an "Id" nor an "Os"/],
    ["a list", () => Response.json([]), /is not a JSON object/],
    ["a flood", () => new Response(Buffer.alloc(17 * 1024 * 1024, " ")), /larger than/],
    ["a redirect, not followed", () => Response.redirect("http://127.0.0.1:1/", 302), /302/],
  ];
  for (const [what, handle, says] of answers) {
    test(`when it answers with ${what}`, async () => {
      using dir = tempDir();
      using daemon = daemonIn(dir, handle);
      const error = await rejection(ask("run", daemon.env));
      expect(error).toBeInstanceOf(RestorerError);
      expect(error).toMatchObject({ exitCode: ExitCode.failed, hint: expect.any(String) });
      expect(describe(error)).toMatch(says);
      expect(isNotFound(error)).toBeFalse();
    });
  }

  test("when it does not answer", async () => {
    using dir = tempDir();
    using daemon = daemonIn(dir, () => new Promise<Response>(() => {}));
    expect(describe(await rejection(ask("run", daemon.env, { timeoutMs: 50 })))).toContain("no answer within 0.05 s");
  });

  test("when there is no socket, or nobody listens", async () => {
    using dir = tempDir("daemon", { file: "" });
    const of = async (host: string) => describe(await rejection(ask("run", { DOCKER_HOST: host })));
    expect(await of(`unix://${dir.join("none.sock")}`)).toContain("no such socket");
    expect(await of(`unix://${dir.join("file")}`)).toContain("connection refused");
    expect(await of("tcp://127.0.0.1:1")).toContain("connection refused");
    for (const host of ["npipe:////./pipe/docker_engine", "ssh://host", "unix://", "tcp://", "nonsense"]) {
      expect(await of(host)).toContain(`DOCKER_HOST=${JSON.stringify(host)}`);
    }
  });

  const asNobody = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"];
  const mayNobodyRead =
    isRoot && have("setpriv") && Bun.spawnSync([...asNobody, "test", "-x", process.execPath]).success;
  skipUnless(mayNobodyRead, "root, setpriv, and a project that all may read")(
    "when its socket may not be used",
    async () => {
      using dir = tempDir();
      using daemon = daemonIn(dir, () => Response.json(image));
      chmodSync(dir.join("docker.sock"), 0o600);
      const script = `
      import { askDaemon } from "${import.meta.dir}/../../lib/images/daemon.ts";
      const log = { debug() {} };
      const told = await askDaemon(["run"], { env: process.env, log, signal: new AbortController().signal });
      await told.image("run").catch((error) => console.log(error.message));`;
      const child = Bun.spawn([...asNobody, process.execPath, "-e", script], {
        env: { ...daemon.env, BUN_RUNTIME_TRANSPILER_CACHE_PATH: "0" },
        cwd: dir.path,
        stdout: "pipe",
        stderr: "inherit",
      });
      expect(await child.stdout.text()).toContain("permission denied");
    },
  );

  test("when the run is asked to stop, with the reason", async () => {
    using dir = tempDir();
    const aborter = new AbortController();
    const reason = new Error("stop");
    using daemon = daemonIn(dir, () => {
      aborter.abort(reason);
      return new Promise<Response>(() => {});
    });
    expect(await rejection(askDaemon(["run"], options(daemon.env, { signal: aborter.signal })))).toBe(reason);
  });
});

test("a daemon over TCP is asked the same way", async () => {
  const server = Bun.serve({ port: 0, hostname: "127.0.0.1", fetch: () => Response.json(image) });
  try {
    expect((await ask("run", { DOCKER_HOST: `tcp://127.0.0.1:${server.port}` })).reference).toBe(id);
  } finally {
    await server.stop(true);
  }
});

test("with -daemon, extensions get the run image's id, and its target", async () => {
  using dir = tempDir();
  using daemon = daemonIn(dir, () => Response.json(image));
  const { log } = rememberingLog();
  const inputs = inputsOf(15, { daemon: true, kanikoDir: dir.join("kaniko") });
  const analyzed = analyzedOf(dir, '[run-image]\nimage = "host.test/run"\nreference = "old"\n');
  const plan = planImages({ inputs, hasExtensions: true, analyzed, runToml: [] });
  if (plan === undefined) throw new Error("nothing to do");
  const run = { inputs, env: daemon.env, log, signal: new AbortController().signal, umask: 0o022 };
  const table = await (await openImages(plan, run, undefined)).resolve();
  expect(table?.["run-image"]).toEqual({
    image: "host.test/run",
    reference: id,
    target: { id: "base", os: "linux", arch: "arm64", "arch-variant": "v8" },
  });
});

group("podman's socket", () => {
  skipUnless(isRoot && have("podman") && podmanWorks(), "root and a podman that works")(
    "answers like Docker's",
    async () => {
      using dir = tempDir("podman", { root: { hello: "world" } });
      const podman = podmanIn(dir);
      const label = "LABEL io.buildpacks.base.id=podman-base";
      Bun.spawnSync(["tar", "-C", dir.join("root"), "-cf", dir.join("root.tar"), "."]);
      const imported = Bun.spawnSync([
        ...podman,
        "import",
        "-q",
        "--change",
        label,
        dir.join("root.tar"),
        "docker.io/library/example-run:v1",
      ]);
      const imageId = imported.stdout.toString().trim().replace("sha256:", "");
      const socket = dir.join("podman.sock");
      const service = Bun.spawn([...podman, "system", "service", "--time=0", `unix://${socket}`], { stderr: "ignore" });
      try {
        // The socket's file is there before anybody listens.
        while (!(await answers("http://localhost/_ping", { unix: socket }))) await Bun.sleep(10);
        const env = { DOCKER_HOST: `unix://${socket}` };
        for (const name of [
          "example-run:v1",
          "docker.io/library/example-run:v1",
          "index.docker.io/library/example-run:v1",
          imageId,
          `sha256:${imageId}`,
        ]) {
          const found = await ask(name, env);
          expect([name, found.reference]).toEqual([name, imageId]);
          expect((await found.config()).labels.get("io.buildpacks.base.id")).toBe("podman-base");
        }
        expect(isNotFound(await rejection(ask("host.test/gone:v1", env)))).toBeTrue();
      } finally {
        service.kill();
        await service.exited;
      }
    },
  );
});

/** podman with storage of its own below a directory, which needs no privileges beyond root's. */
function podmanIn(dir: TempDir): string[] {
  return ["podman", "--root", dir.join("storage"), "--runroot", dir.join("run"), "--storage-driver", "vfs"];
}

function podmanWorks(): boolean {
  using dir = tempDir("podman");
  return Bun.spawnSync([...podmanIn(dir), "images", "-q"]).exitCode === 0;
}
