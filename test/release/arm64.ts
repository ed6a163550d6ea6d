/** Part of `make test-release`: what must work in any root, with the executable for arm64, emulated. */
import { existsSync } from "node:fs";
import { resolve } from "node:path";
import { testRoot } from "../support/root-tests.ts";

const executable = resolve(import.meta.dir, "../../dist/release/arm64/restorer");
const emulator = Bun.which("qemu-aarch64-static") ?? "";
const fits = emulator !== "" && existsSync(executable);

testRoot("of arm64, by qemu", {
  executable,
  emulator,
  needs: [fits, "qemu-aarch64-static (package qemu-user-static)"],
});
