import { describe, expect, test } from "bun:test";
import { copyFileSync, existsSync, readdirSync, readFileSync, symlinkSync } from "node:fs";
import { basename, join, resolve } from "node:path";
import { Elf, segmentBytes, segmentType, writeSegment } from "../../build/elf.ts";
import { loaderImage } from "../../build/memory-image.ts";
import { glibcVersion, pack } from "../../build/pack.ts";
import { builtWithGlibc, runsAnywhere } from "../support/bare-root.ts";
import { have, runRestorer, skipUnless, type TempDir, tempDir } from "../support/harness.ts";

const project = resolve(import.meta.dir, "../..");
const stub = readFileSync(join(project, "build/stub-x64.bin"));

/** What assembles for each machine, here. */
const assemblers = {
  x64: process.arch === "x64" ? { as: ["gcc", "-c", "-nostdlib"], objcopy: "objcopy" } : undefined,
  arm64: { as: ["aarch64-linux-gnu-as"], objcopy: "aarch64-linux-gnu-objcopy" },
};

for (const [machine, tools] of Object.entries(assemblers)) {
  const { as = [""], objcopy = "" } = tools ?? {};
  skipUnless(have(as[0] ?? "") && have(objcopy), tools === undefined ? machine : `${as[0]}, ${objcopy}`)(
    `the bytes of the stub for ${machine} are those of its source`,
    () => {
      using dir = tempDir("stub");
      const run = (...argv: string[]) => Bun.spawnSync(argv, { cwd: dir.path, stderr: "pipe" });
      const assembled = run(...as, join(project, `build/stub-${machine}.S`), "-o", "stub.o");
      expect([assembled.exitCode, assembled.stderr.toString()]).toEqual([0, ""]);
      expect(run(objcopy, "-O", "binary", "-j", ".text", "stub.o", "stub.bin").exitCode).toBe(0);
      expect(readFileSync(dir.join("stub.bin")).equals(readFileSync(join(project, `build/stub-${machine}.bin`)))).toBe(
        true,
      );
    },
  );
}

describe("what the packer does not know it refuses with a sentence", () => {
  const nothing = Buffer.alloc(0);
  const parts = { executable: nothing, loader: nothing, libc: nothing, libm: nothing, stub };

  /** The smallest ELF header: of a machine (62 is x86-64, 183 arm64), and a type (2 is at fixed addresses). */
  function elf(machine: number, type: number): Buffer {
    const bytes = Buffer.alloc(64);
    bytes.write("\x7fELF\x02\x01", "latin1");
    bytes.writeUInt16LE(type, 16);
    bytes.writeUInt16LE(machine, 18);
    return bytes;
  }

  function saying(text: string, machine = 62): Buffer {
    return Buffer.concat([elf(machine, 3), Buffer.from(text)]);
  }

  /** Files of one glibc, for x86-64 where no other machine is named, but for some that are given. */
  function glibc(
    of: { loader?: number; libc?: number; libm?: number },
    changed: Readonly<Record<string, Buffer>> = {},
  ) {
    const version = "(Debian GLIBC 2.36-9) stable release version 2.36.\n";
    return {
      executable: elf(62, 2),
      loader: saying(`ld.so ${version}`, of.loader),
      libc: saying(`GNU C Library ${version}`, of.libc),
      libm: saying("\0GLIBC_2.2.5\0GLIBC_2.35\0", of.libm),
      ...changed,
    };
  }

  test.each([
    ["a text file", { executable: Buffer.from("#!/bin/sh\n".repeat(10)) }, "the executable is not an ELF file"],
    ["an executable for another machine", { executable: elf(243, 2), loader: elf(243, 3) }, "neither x64 nor arm64"],
    [
      "an executable that can lie anywhere",
      { executable: elf(62, 3), loader: elf(62, 3) },
      "not linked to fixed addresses",
    ],
    ["a loader for another machine", glibc({ loader: 183 }), "the loader is for another machine"],
    ["a libc for another machine", glibc({ libc: 183 }), "libc.so.6 is for another machine"],
    ["a libm for another machine", glibc({ libm: 183 }), "libm.so.6 is for another machine"],
    [
      "a loader of another build",
      glibc({}, { loader: saying("ld.so (Debian GLIBC 2.36-8) stable release version 2.36.\n") }),
      "the loader is of (Debian GLIBC 2.36-8) stable release version 2.36., but libc.so.6 of (Debian GLIBC 2.36-9)",
    ],
    ["a loader that is not glibc's", glibc({}, { loader: elf(62, 3) }), "the loader is of a glibc that is not named"],
    ["a newer libm", glibc({}, { libm: saying("\0GLIBC_2.29\0GLIBC_2.38\0") }), "libm.so.6 is of glibc 2.38 or newer"],
    ["a libm that is not glibc's", glibc({}, { libm: elf(62, 3) }), "libm.so.6 is not glibc's"],
    ["no glibc", { executable: elf(62, 2), loader: elf(62, 3), libc: Buffer.from("musl") }, "libc.so.6 is not glibc's"],
    [
      "an old glibc",
      {
        executable: elf(62, 2),
        loader: elf(62, 3),
        libc: Buffer.from("GNU C Library (Debian GLIBC 2.31-13) stable release version 2.31."),
      },
      "glibc 2.31 is too old: expected 2.34 or newer",
    ],
  ])("%s", (_, changed, message) => {
    // A header alone has no dynamic section, whose strings are looked for only where something is needed.
    expect(() => pack({ ...parts, ...changed })).toThrow(message);
  });

  test.each(["x64", "arm64"])("a loader for %s that does not call mmap as it knows it", (machine) => {
    const call = Buffer.from(machine === "x64" ? "b8090000000f05" : "c81b80d2010000d4", "hex");
    const preload = Buffer.from("/etc/ld.so.preload\0".padEnd(20, "\0"));
    const loader = (...parts: Buffer[]) => {
      // One segment that holds the whole file, at address 0.
      const header = Buffer.concat([elf(machine === "x64" ? 62 : 183, 3), Buffer.alloc(segmentBytes)]);
      const bytes = Buffer.concat([header, preload, ...parts]);
      bytes.writeBigUInt64LE(64n, 32);
      bytes.writeUInt16LE(1, 56);
      const { length: size } = bytes;
      const type = segmentType.load;
      writeSegment(bytes, 64, { type, flags: 5, offset: 0, address: 0, fileSize: size, memorySize: size, align: 4096 });
      return new Elf(bytes, "the loader");
    };
    const { image, mmaps } = loaderImage(loader(call, call), 4096);
    const first = 64 + segmentBytes + preload.length;
    expect(mmaps).toEqual([first, first + call.length]);
    expect(image.includes("/etc/ld.so.preload")).toBe(false);
    expect(() => loaderImage(loader(), 4096)).toThrow("the loader does not call mmap as it does in the glibc");
  });

  test("glibc's version is read from what it says of itself", () => {
    expect(glibcVersion(Buffer.from("GNU C Library (GNU libc) stable release version 2.36.\n"))).toEqual({
      name: "(GNU libc) stable release version 2.36.",
      major: 2,
      minor: 36,
    });
    expect(glibcVersion(Buffer.from("musl libc"))).toBeUndefined();
  });
});

skipUnless(runsAnywhere, builtWithGlibc)("a library that the environment names is not loaded", async () => {
  // glibc's loader says on stderr what it cannot preload.
  const env = { LD_PRELOAD: "/nowhere/preload.so", LD_AUDIT: "/nowhere/audit.so", LD_LIBRARY_PATH: "/nowhere" };
  const { exitCode, stderr } = await runRestorer(["-version"], { env });
  expect({ exitCode, stderr }).toEqual({ exitCode: 0, stderr: "" });
});

describe("a directory with glibc", () => {
  const script = join(project, "build/self-contained.ts");
  const maps = readFileSync("/proc/self/maps", "utf8").match(/\/\S+$/gm) ?? [];
  const ofMachine = (name: RegExp): string => maps.find((path) => name.test(path)) ?? "";
  const files = {
    libc: ofMachine(/\/libc\.so\.6$/),
    libm: ofMachine(/\/libm\.so\.6$/),
    loader: ofMachine(/\/ld-linux-/),
  };

  /** Packs with what a directory holds; says what it said, and what is there then. */
  function packWith(directory: TempDir) {
    const output = directory.join("restorer");
    const plain = join(project, "dist/plain/restorer");
    const run = Bun.spawnSync([process.execPath, script, plain, output, directory.path], { stderr: "pipe" });
    const version = existsSync(output) ? Bun.spawnSync([output, "-version"]).exitCode : undefined;
    return { exitCode: run.exitCode, said: run.stderr.toString(), version };
  }

  skipUnless(runsAnywhere, builtWithGlibc)("may hold what developers have beside it", () => {
    const scripts = {
      "libc.a": "!<arch>",
      "libm.a": "GROUP",
      "libm-2.36.a": "",
      "libc.so": "GROUP",
      "libm.so": "GROUP",
    };
    using directory = tempDir("glibc", scripts);
    for (const path of Object.values(files)) symlinkSync(path, directory.join(basename(path)));
    expect(packWith(directory)).toEqual({ exitCode: 0, said: "", version: 0 });
  });

  skipUnless(runsAnywhere, builtWithGlibc)("is tried out, and what does not run is not left there", () => {
    using directory = tempDir("glibc");
    for (const path of [files.libc, files.loader]) symlinkSync(path, directory.join(basename(path)));
    // Looks like libm, and has none of its functions.
    copyFileSync(files.libc, directory.join("libm.so.6"));
    const { exitCode, said, version } = packWith(directory);
    expect({ exitCode, version }).toEqual({ exitCode: 1, version: undefined });
    expect(said).toStartWith(`Cannot make ${directory.join("restorer")}: with that glibc it ends with `);
    expect(readdirSync(directory.path).filter((name) => name.startsWith("restorer"))).toEqual([]);
  });
});
