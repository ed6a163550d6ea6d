import { describe } from "../errors.ts";
import type { Log } from "../log.ts";
import { parseReference } from "../oci/reference.ts";
import { quote } from "../text.ts";
import { imageFailure } from "./failure.ts";
import { type ImageSources, theRegistry } from "./source.ts";

interface MirrorOptions {
  readonly sources: ImageSources;
  readonly log: Log;
  readonly signal: AbortSignal;
}

/**
 * Checks that the selected run image can be read, else takes the first mirror that can; undefined when the selected one is
 * fine. The selected one may be a mirror itself: it is tried before the primary all the same.
 */
export async function readableMirror(
  selected: string,
  mirrors: readonly string[],
  { sources, log, signal }: MirrorOptions,
): Promise<string | undefined> {
  const registry = theRegistry(sources);
  const causes: { name: string; error: unknown }[] = [];
  for (const name of [selected, ...mirrors]) {
    try {
      const reference = parseReference(name);
      await (name === selected ? registry.check(reference) : registry.image(reference));
      if (name === selected) return undefined;
      const reasons = causes.map((cause) => `${quote(cause.name)}: ${describe(cause.error)}`);
      log.warn(
        `The selected run image cannot be read, using ${quote(name)} instead: ${reasons.join("; ")}`,
        "run-image",
      );
      return name;
    } catch (error) {
      signal.throwIfAborted();
      causes.push({ name, error });
    }
  }
  const lines = causes.map(({ name, error }) => `  ${quote(name)}: ${describe(error)}`);
  throw imageFailure(`cannot read the run image under any of its names:\n${lines.join("\n")}`, causes[0]?.error);
}
