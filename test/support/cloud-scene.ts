/** Signing in to a cloud's registry, with stand-ins for all of its servers. */
import { afterAll, beforeAll, expect } from "bun:test";
import type { CloudTiming } from "../../lib/cloud/requests.ts";
import { type Answers, type Clouds, startClouds } from "./clouds.ts";
import { hangMs, type TempDir, type Tree } from "./harness.ts";
import { lookUp } from "./keychain-fixture.ts";

type Env = Readonly<Record<string, string | undefined>>;

/** Starts the stand-ins before the tests of a file, and ends them after. `secrets` must never be told. */
export function cloudScene(defaults: {
  readonly registry: string;
  readonly env?: Env;
  readonly secrets: readonly string[];
}) {
  let started: Clouds | undefined;
  beforeAll(async () => {
    started = await startClouds();
  });
  afterAll(() => started?.[Symbol.asyncDispose]());
  const clouds = (): Clouds => {
    if (started === undefined) throw new Error("not started");
    return started;
  };
  return {
    get clouds() {
      return clouds();
    },
    /** Signs in to a registry where the servers answer so, in this environment and home directory. */
    async signIn(
      answers: Answers,
      env: Env | ((home: TempDir) => Env) = {},
      tree: Tree = {},
      registry = defaults.registry,
      timing: Partial<CloudTiming> = {},
    ) {
      clouds().answer(answers);
      const all = (home: TempDir) => ({
        ...clouds().env,
        ...defaults.env,
        ...(typeof env === "function" ? env(home) : env),
      });
      // Only who is known to be silent is given up soon, and who refuses is not asked again.
      const isSilent = Object.values(answers).includes("silence");
      const patient = { localMs: hangMs, answerMs: hangMs, startingMs: 0 };
      const cloudTiming = { ...patient, absentMs: isSilent ? 50 : hangMs, ...timing };
      const result = await lookUp(tree, all, registry, "org/app", { cloudTiming });
      for (const secret of defaults.secrets) expect(result.log.join("\n")).not.toContain(secret);
      return { ...result, warnings: result.log.filter((line) => line.startsWith("warn")) };
    },
  };
}

/** Of what was logged: the steps that gave nothing. */
export function emptySteps(log: readonly string[]): (string | undefined)[] {
  return log.flatMap((line) => /: none by ([^:]+):/.exec(line)?.[1] ?? []);
}
