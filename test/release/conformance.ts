/** Part of `make test-release`: the whole conformance suite with the executable in a root that is empty but for it. */
import { expect, test } from "bun:test";
import { chmodSync, writeFileSync } from "node:fs";
import { resolve } from "node:path";
import { rootTest } from "../support/bare-root.ts";
import { restorerPath, tempDir } from "../support/harness.ts";

const project = resolve(import.meta.dir, "../..");
const files = [...new Bun.Glob("test/conformance/{commands,decisions,images,layers}.test.ts").scanSync(project)].sort();

/** Only root has capabilities to keep; what is not in the root cannot be the working directory. */
function scriptOf(bwrap: string, top: string): string {
  return `#!/bin/sh
[ "$(id -u)" -eq 0 ] && all="--cap-add ALL"
case $PWD in ${top}/*) ;; *) cd ${top} ;; esac
exec ${bwrap} --chdir "$PWD" $all /restorer "$@"
`;
}

test("all files of the suite are run", () => expect(files.length).toBe(4));

for (const path of files) {
  rootTest()(path, () => {
    using dir = tempDir("empty-root", { tmp: {} });
    const wrapper = dir.join("restorer");
    chmodSync(dir.join("tmp"), 0o1777);
    // bwrap's own root has nothing in it. The suite keeps all that it makes in one directory.
    const around = ["--bind", dir.join("tmp"), dir.join("tmp"), "--ro-bind", restorerPath(), "/restorer"];
    const words = ["bwrap", ...around, "--proc", "/proc", "--dev", "/dev", "--die-with-parent"].join(" ");
    writeFileSync(wrapper, scriptOf(words, dir.join("tmp")), { mode: 0o755 });
    const env = { ...process.env, TMPDIR: dir.join("tmp"), RESTORER: wrapper };
    const argv = [process.execPath, "test", "--timeout", "3600000", `./${path}`];
    const { exitCode, stderr } = Bun.spawnSync(argv, { cwd: project, env, stdout: "ignore", stderr: "pipe" });
    const said = stderr.toString();
    const [passed, skipped] = ["pass", "skip"].map(
      (word) => new RegExp(`^ *(\\d+) ${word}$`, "m").exec(said)?.[1] ?? 0,
    );
    console.log(`${path}: ${passed} passed, ${skipped} skipped`);
    expect([exitCode, exitCode === 0 ? "" : said]).toEqual([0, ""]);
    expect(Number(passed)).toBeGreaterThan(0);
  });
}
