import * as v from "valibot";
import { hasCode } from "../errors.ts";
import { RestorerError } from "../failures.ts";
import { lazily } from "../lazily.ts";
import type { Log } from "../log.ts";
import { quote } from "../text.ts";
import { describeFileError } from "./parse-error.ts";
import { checkSecretNames } from "./secret-names.ts";
import { readTomlAs } from "./toml.ts";

const runSchema = lazily(() => {
  const names = v.object({ image: v.optional(v.string(), ""), mirrors: v.optional(v.array(v.string()), []) });
  return v.object({ images: v.optional(v.array(names), []) });
});

/** A run image the platform offers, under all its names. */
export interface OfferedImage {
  readonly image: string;
  readonly mirrors: readonly string[];
}

/**
 * Reads run.toml (Platform API, run.toml). A missing file offers nothing, as platforms without mirrors have none.
 * Throws a RestorerError (exit 1) for one that cannot be read.
 */
export function readRunToml(path: string, log: Log): readonly OfferedImage[] {
  try {
    return readTomlAs(path, (table, isSecret) => {
      const { images } = v.parse(runSchema(), table, { abortEarly: true });
      if (isSecret) checkSecretNames(images.flatMap(({ image, mirrors }) => [image, ...mirrors]));
      return images;
    });
  } catch (error) {
    if (hasCode(error, "ENOENT")) {
      log.debug(`No run metadata found at path ${quote(path)}`);
      return [];
    }
    throw new RestorerError(`read run file ${describeFileError(path, error)}`, {
      cause: error,
      hint: "It comes with the builder; name it with -run or CNB_RUN_PATH.",
    });
  }
}
