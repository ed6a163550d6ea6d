/** `bun build/image.ts`: `dist/image`, an OCI layout with `dist/release/<machine>/restorer` for all machines. */
import { mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { layoutOf } from "./oci-image.ts";
import { machines, project, release } from "./pins.ts";

const dist = join(project, "dist");
const executables = new Map(
  machines.map((machine) => [machine, readFileSync(join(dist, "release", machine, "restorer"))] as const),
);
const git = Bun.spawnSync(["git", "rev-parse", "HEAD"], { cwd: project, stderr: "ignore" });
const revision = git.exitCode === 0 ? git.stdout.toString().trim() : undefined;

const directory = join(dist, "image");
rmSync(directory, { recursive: true, force: true });
for (const [path, bytes] of layoutOf(executables, revision)) {
  mkdirSync(dirname(join(directory, path)), { recursive: true });
  writeFileSync(join(directory, path), bytes);
}
console.log(
  `${directory} holds ${release.name}:${release.version}: skopeo copy --all oci:dist/image:${release.version} docker://…`,
);
