import { join } from "node:path";
import { newestPlatformApi } from "../platform-api.ts";
import { shellQuote } from "../text.ts";
import { flagNamed } from "./flags.ts";
import type { Inputs } from "./inputs.ts";
import { variables } from "./variables.ts";

/**
 * The command line that explains what a restore with these inputs does, to be pasted into a shell: all that decides about
 * layers, whether it came from a flag or a variable.
 */
export function explainCommand(inputs: Inputs): string {
  const { layersDir, execEnv, platformApi } = inputs;
  const defaults = { layers: flagNamed("layers")?.default, group: "group.toml", analyzed: "analyzed.toml" };
  const environment = [
    ...(platformApi === newestPlatformApi ? [] : [`CNB_PLATFORM_API=0.${platformApi}`]),
    ...(execEnv === variables.CNB_EXEC_ENV.default ? [] : [`CNB_EXEC_ENV=${shellQuote(execEnv)}`]),
  ];
  const flags: (readonly [flag: string, value: string | undefined])[] = [
    ["layers", unless(layersDir, defaults.layers)],
    ["group", unless(inputs.groupPath, join(layersDir, defaults.group))],
    ["analyzed", unless(inputs.analyzedPath, join(layersDir, defaults.analyzed))],
    ["image", inputs.appImage],
    ["cache-dir", inputs.cacheImage === undefined ? inputs.cacheDir : undefined],
    ["cache-image", inputs.cacheImage],
    ...inputs.cacheFrom.map((cache) => ["cache-from", cache] as const),
    ...inputs.insecureRegistries.map((host) => ["insecure-registry", host] as const),
    ...inputs.only.map((layer) => ["only", layer] as const),
  ];
  const words = flags.flatMap(([flag, value]) => (value === undefined ? [] : [`-${flag}`, shellQuote(value)]));
  const switches = (["daemon", "layout"] as const).filter((flag) => inputs[flag]).map((flag) => `-${flag}`);
  const layouts = inputs.layout && inputs.layoutDir !== "" ? ["-layout-dir", shellQuote(inputs.layoutDir)] : [];
  return [...environment, "restorer", "explain", ...words, ...switches, ...layouts].join(" ");
}

/** The command line that reads every blob of a cache, named by its reference, to be pasted into a shell. */
export function verifyCommand({ insecureRegistries }: Inputs, cache: string): string {
  const flags = insecureRegistries.flatMap((host) => ["-insecure-registry", shellQuote(host)]);
  return ["restorer", "verify", ...flags, shellQuote(cache)].join(" ");
}

function unless(value: string, usual: string | undefined): string | undefined {
  return value === usual ? undefined : value;
}
