import { describe, describeRefusal } from "../errors.ts";
import { isDiskTrouble } from "../failures.ts";
import { quote } from "../text.ts";
import type { Extracted, ExtractionTarget } from "./extract.ts";
import type { LayerPlace } from "./layer-paths.ts";

/** Where a layer is extracted to; without a root it is only checked. */
export type LayerTarget = ExtractionTarget | (LayerPlace & { readonly root?: undefined });

/**
 * How a job ended; `hashingMs` is how long hashing took that was left to it, `writingMs` reading and writing the archive.
 * `layer`: the archive is bad; `disk`: it cannot be written; `cancelled`: the run is cancelled; `unverified`: the thread that
 * reads the blob has stopped, and says why.
 */
export type LayerOutcome =
  | { readonly ok: true; readonly extracted: Extracted; readonly hashingMs: number; readonly writingMs: number }
  | {
      readonly ok: false;
      readonly fault: "layer" | "disk" | "cancelled" | "unverified";
      readonly message: string;
    };

/** What the trouble with a layer is: its own, or that of the disk it is written to. */
export function outcomeOf(error: unknown, target: LayerTarget) {
  return isDiskTrouble(error)
    ? ({ ok: false, fault: "disk", message: describeOnDisk(error, target) } as const)
    : ({ ok: false, fault: "layer", message: describe(error) } as const);
}

/** With the path below the layers directory, where the error has one: which of many files it is tells what it needs. */
function describeOnDisk(error: unknown, { root = "", anchor }: LayerTarget): string {
  const path = error instanceof Error && "path" in error ? String("dest" in error ? error.dest : error.path) : "";
  const where = path.startsWith(`${root}/`) ? `${quote([...anchor, path.slice(root.length + 1)].join("/"))}: ` : "";
  return `${where}${describeRefusal(error)}`;
}
