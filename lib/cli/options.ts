import type { Environment } from "../environment.ts";
import { invalid } from "./arguments.ts";
import type { CommandLine } from "./command-line.ts";
import type { CommandName } from "./commands.ts";
import { Values } from "./values.ts";

/** What a command at the desk is asked for beside the inputs of a restore. */
export interface Options {
  readonly words: readonly string[];
  readonly format: "text" | "json";
  /** Whether sizes are exact numbers of bytes. */
  readonly bytes: boolean;
  /** Whether digests and lines are whole. */
  readonly whole: boolean;
  readonly tree: boolean;
  /** Levels of directories; undefined for all. */
  readonly depth: number | undefined;
  readonly exitCode: boolean;
  /** What flags name, so that words need not, and what flags or variables name, so that it must be there. */
  readonly named: {
    readonly cacheByFlag: boolean;
    readonly fallbackByFlag: boolean;
    readonly cache: boolean;
    readonly group: boolean;
  };
}

/** Reads the options of a command. Throws RestorerErrors (exit 3). */
export function readOptions(command: CommandName, { given, words }: CommandLine, env: Environment): Options {
  const values = new Values(given, env, command);
  const format = values.text("output");
  if (format !== "text" && format !== "json") throw invalid(`${values.spelled("output")} is neither text nor json`);
  const depth = values.text("depth");
  if (depth !== undefined && !/^\d{1,9}$/.test(depth))
    throw invalid(`${values.spelled("depth")} is not a number of levels`);
  const cacheByFlag = ["cache-dir", "cache-volume", "cache-image"].some((flag) => given.text.has(flag));
  const fallbackByFlag = given.lists.has("cache-from");
  const byVariable = ["CNB_CACHE_DIR", "CNB_CACHE_IMAGE", "CNB_CACHE_FROM"].some((name) => Boolean(env[name]));
  return {
    words,
    format,
    bytes: values.boolean("bytes"),
    whole: values.boolean("no-trunc"),
    tree: values.boolean("tree"),
    depth: depth === undefined ? undefined : Number(depth),
    exitCode: values.boolean("exit-code"),
    named: {
      cacheByFlag,
      fallbackByFlag,
      cache: cacheByFlag || fallbackByFlag || byVariable,
      group: given.text.has("group") || Boolean(env["CNB_GROUP_PATH"]),
    },
  };
}
