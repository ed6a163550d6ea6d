import { buildpackHas, platformHas } from "../platform-api.ts";
import { quote } from "../text.ts";
import type { LayerData } from "../toml/layer-data.ts";
import type { Reason } from "./outcomes.ts";

/** What decides whether execution environments matter, as N of 0.N, and which one this build is for. */
export interface ExecEnvRules {
  readonly platformApi: number;
  readonly buildpackApi: number;
  /** CNB_EXEC_ENV. */
  readonly execEnv: string;
}

/**
 * Why a layer with this data is not for this build (D15): its `exec-env`, a non-empty array of strings, names neither
 * the build's execution environment nor `*`. Only where both APIs know execution environments.
 */
export function execEnvProblem(data: LayerData, rules: ExecEnvRules): Reason | undefined {
  if (!platformHas(rules.platformApi, "exec-env") || !buildpackHas(rules.buildpackApi, "exec-env")) return undefined;
  const environments = data.execEnv();
  if (!Array.isArray(environments) || environments.length === 0) return undefined;
  if (!environments.every((item) => typeof item === "string")) return undefined;
  if (environments.includes(rules.execEnv) || environments.includes("*")) return undefined;
  return { code: "exec-env", reason: `made for other execution environments than ${quote(rules.execEnv)}` };
}
