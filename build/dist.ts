/** `bun build/dist.ts`: archives of `dist/release/<machine>/restorer` for all machines in `dist`, and SHA256SUMS. */
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { archiveOf, sumsOf } from "./archive.ts";
import { machines, project } from "./pins.ts";

const dist = join(project, "dist");
const archives = machines.map((machine) =>
  archiveOf(machine, readFileSync(join(dist, "release", machine, "restorer"))),
);
for (const { name, bytes } of archives) writeFileSync(join(dist, name), bytes);
writeFileSync(join(dist, "SHA256SUMS"), sumsOf(archives));
console.log(sumsOf(archives).trimEnd());
