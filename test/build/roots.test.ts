import { describe, expect } from "bun:test";
import { existsSync, writeFileSync } from "node:fs";
import { inRoot, rootTest } from "../support/bare-root.ts";
import { analyzedToml, groupToml } from "../support/cache-fixture.ts";
import { have, restorerPath, runRestorer, tempDir } from "../support/harness.ts";
import { type RootKind, testRoot } from "../support/root-tests.ts";

const musl = "/lib/ld-musl-x86_64.so.1";
const debian = process.env.DEBIAN_ROOT;
const noexec = "/proc/sys/vm/memfd_noexec";
/** The limit belongs to a namespace of processes, and so to this one alone. */
const strict = ["unshare", "--pid", "--fork", "--kill-child", "sh", "-c", `echo 2 >${noexec} && exec "$@"`, "sh"];
const isStrictPossible = have("unshare") && Bun.spawnSync([...strict, "true"], { stderr: "ignore" }).exitCode === 0;

const kinds: Readonly<Record<string, RootKind>> = {
  "with nothing but the executable, /proc and /dev": {},
  "that can only be read but for the layers, and has no /tmp": { isReadOnly: true },
  "with musl, preloaded": {
    copied: [musl],
    env: { LD_PRELOAD: musl },
    needs: [existsSync(musl), "musl (package musl)"],
  },
  "of Debian, slim": {
    base: debian,
    needs: [debian !== undefined, "DEBIAN_ROOT, a directory that debootstrap --variant=minbase made"],
  },
  "for the user 1000": { options: ["--unshare-user", "--uid", "1000", "--gid", "1000"] },
  "for root that becomes another user": { args: ["-uid", "65534", "-gid", "65534"], user: 65534 },
  "where memory files may not be executable (memfd_noexec=2)": {
    around: strict,
    needs: [isStrictPossible, "unshare, and a kernel (6.3) with vm.memfd_noexec"],
  },
};

for (const [name, kind] of Object.entries(kinds)) testRoot(name, kind);

describe("what the machine refuses is said in one line, and ends with 127", () => {
  const line = /^ERROR: restorer cannot start: no memory file can be made \([^\n]*\)\n$/;

  rootTest()("memory files", async () => {
    using root = tempDir("root");
    // A filter of system calls, struct sock_filter each: load the number; memfd_create? then EPERM; else allowed.
    const call = process.arch === "arm64" ? 279 : 319;
    const program = [
      [0x20, 0, 0, 0],
      [0x15, 0, 1, call],
      [0x06, 0, 0, 0x00050001],
      [0x06, 0, 0, 0x7fff0000],
    ] as const;
    const filter = Buffer.alloc(8 * program.length);
    for (const [index, [code, yes, no, value]] of program.entries()) {
      filter.writeUInt16LE(code, 8 * index);
      filter.writeUInt8(yes, 8 * index + 2);
      filter.writeUInt8(no, 8 * index + 3);
      filter.writeUInt32LE(value, 8 * index + 4);
    }
    writeFileSync(root.join("filter"), filter);
    const command = [
      "sh",
      "-c",
      `exec "$@" 9<'${root.join("filter")}'`,
      "sh",
      ...inRoot(root, { options: ["--seccomp", "9"] }),
    ];
    const { exitCode, stderr } = await runRestorer(["-version"], { command });
    expect({ exitCode, stderr }).toEqual({ exitCode: 127, stderr: expect.stringMatching(line) });
  });

  rootTest()("files of 4 KiB", async () => {
    using root = tempDir("root");
    const command = ["sh", "-c", 'ulimit -f 4; exec "$@"', "sh", ...inRoot(root)];
    const { exitCode, signal, stderr } = await runRestorer(["-version"], { command });
    expect({ exitCode, signal, stderr }).toEqual({ exitCode: 127, signal: null, stderr: expect.stringMatching(line) });
  });

  rootTest()("further open files", async () => {
    const { exitCode, stderr } = await runRestorer(["-version"], {
      command: ["sh", "-c", `ulimit -n 4; exec "$0" "$@"`, restorerPath()],
    });
    const line = "ERROR: restorer cannot start: this process may not open any more files (see ulimit -n)\n";
    expect({ exitCode, stderr }).toEqual({ exitCode: 127, stderr: line });
  });

  rootTest()("a look at /proc", async () => {
    using root = tempDir("root");
    const command = inRoot(root, { options: ["--tmpfs", "/proc"] });
    const { exitCode, stderr } = await runRestorer(["-version"], { command });
    const line = "ERROR: restorer cannot start: /proc/self/fd cannot be read (is /proc mounted?)\n";
    expect({ exitCode, stderr }).toEqual({ exitCode: 127, stderr: line });
  });
});

rootTest(have("gcc"), "gcc")("a library that the root's nsswitch.conf names is not loaded", async () => {
  using root = tempDir("root", {
    etc: { "nsswitch.conf": "hosts: evil files\n", hosts: "127.0.0.1 registry.test\n" },
    layers: { "group.toml": groupToml([{ id: "bp" }]), "analyzed.toml": analyzedToml() },
    "evil.c": "__attribute__((constructor)) static void evil(void) { __builtin_trap(); }\n",
    lib: {},
  });
  const library = root.join("lib/libnss_evil.so.2");
  const build = Bun.spawnSync(["gcc", "-shared", "-nostdlib", "-o", library, root.join("evil.c")]);
  expect(build.exitCode).toBe(0);
  const args = ["-layers", "/layers", "-cache-image", "registry.test:1/cache"];
  const { exitCode, signal, stderr } = await runRestorer(args, { command: inRoot(root) });
  // The name is found by what comes next in that file.
  expect({ exitCode, signal, stderr }).toEqual({
    exitCode: 0,
    signal: null,
    stderr: expect.stringContaining("ECONNREFUSED"),
  });
});
