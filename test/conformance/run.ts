import { existsSync } from "node:fs";
import { isRoot, type RunResult, startRestorer } from "../support/harness.ts";
import { directories, type Scene } from "./place.ts";
import { type Recording, record } from "./tree.ts";

/** Against one that hangs, and so much longer than any run takes. */
const timeoutMs = 300_000;

/** What must not change, unless a case says otherwise. */
interface Surroundings {
  readonly cache: Recording;
  /** All else but the layers and kaniko's directory: by the path below the case's directories, `../` before what is outside. */
  readonly outside: Recording;
}

/** What a run left behind, beside the directories of its scene. */
export interface Outcome extends RunResult {
  readonly before: Surroundings;
  readonly after: Surroundings;
}

/** Runs the executable once, on one Platform API; or instead of it the reference, given by its path, in a sandbox. */
export async function run(scene: Scene, api: string, reference?: string): Promise<Outcome> {
  const { definition, user } = scene;
  const { args, umask } = definition;
  const inSandbox = reference !== undefined;
  const before = recordSurroundings(scene);
  const { result } = startRestorer(args, {
    env: { ...environment(scene, api, inSandbox), ...definition.env },
    cwd: inSandbox ? "/" : (definition.cwd ?? scene.path("work")),
    umask: Number.parseInt(umask, 8),
    timeoutMs,
    ...(user === undefined ? {} : { uid: user, gid: user }),
    ...(reference === undefined ? {} : { command: sandbox(scene, reference) }),
  });
  return { ...(await result), before, after: recordSurroundings(scene) };
}

/** What a case's run finds in its environment, before what the case says itself. */
export function environment({ path, user }: Scene, api: string, inSandbox: boolean): Record<string, string> {
  const at = (name: "kaniko" | "work") => (inSandbox ? `/${name}` : path(name));
  const uid = user ?? process.getuid?.();
  const gid = user ?? process.getgid?.();
  return {
    PATH: "/usr/bin:/bin",
    HOME: `${at("work")}/home`,
    CNB_PLATFORM_API: api,
    CNB_KANIKO_DIR: at("kaniko"),
    ...(isRoot && user === undefined ? {} : { CNB_USER_ID: String(uid), CNB_GROUP_ID: String(gid) }),
  };
}

/** The command line of the reference but its arguments: it knows fixed paths, and may only write below the case's directories. */
function sandbox({ path, definition }: Scene, reference: string): string[] {
  const binds = directories
    .filter((name) => existsSync(path(name)))
    .flatMap((name) => ["--bind", path(name), `/${name}`]);
  const system = ["--tmpfs", "/tmp", "--dev", "/dev", "--proc", "/proc", "--ro-bind", reference, "/restorer"];
  return ["bwrap", ...system, "--die-with-parent", ...binds, "--chdir", definition.cwd ?? "/work", "--", "/restorer"];
}

/** Records what must not change. */
export function recordSurroundings({ top, root, path }: Scene): Surroundings {
  const above = [...record(top, ["root"])].map(([name, line]): [string, string] => [`../${name}`, line]);
  const beside = record(root, ["layers", "kaniko", "cache"]);
  return { cache: record(path("cache")), outside: new Map([...above, ...beside]) };
}
