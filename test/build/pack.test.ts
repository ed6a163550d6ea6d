import { describe, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { Elf, segmentBytes, segmentType, writeSegment } from "../../build/elf.ts";
import { loaderImage } from "../../build/memory-image.ts";
import { glibcVersion, pack } from "../../build/pack.ts";
import { builtWithGlibc, runsAnywhere } from "../support/bare-root.ts";
import { have, runRestorer, skipUnless, tempDir } from "../support/harness.ts";

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

  test.each([
    ["a text file", { executable: Buffer.from("#!/bin/sh\n".repeat(10)) }, "the executable is not an ELF file"],
    ["an executable for another machine", { executable: elf(243, 2), loader: elf(243, 3) }, "neither x64 nor arm64"],
    [
      "an executable that can lie anywhere",
      { executable: elf(62, 3), loader: elf(62, 3) },
      "not linked to fixed addresses",
    ],
    ["a loader for another machine", { executable: elf(62, 2), loader: elf(183, 3) }, "another machine"],
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
    expect(glibcVersion(Buffer.from("GNU C Library (GNU libc) stable release version 2.36.\n"))).toEqual([2, 36]);
    expect(glibcVersion(Buffer.from("musl libc"))).toBeUndefined();
  });
});

skipUnless(runsAnywhere, builtWithGlibc)("a library that the environment names is not loaded", async () => {
  // glibc's loader says on stderr what it cannot preload.
  const env = { LD_PRELOAD: "/nowhere/preload.so", LD_AUDIT: "/nowhere/audit.so", LD_LIBRARY_PATH: "/nowhere" };
  const { exitCode, stderr } = await runRestorer(["-version"], { env });
  expect({ exitCode, stderr }).toEqual({ exitCode: 0, stderr: "" });
});
