import { describe, describeRefusal } from "../errors.ts";
import { isDiskTrouble } from "../failures.ts";
import { quote } from "../text.ts";
import { fileReader } from "./blob-file.ts";
import { Control } from "./control.ts";
import { type Extracted, type ExtractionTarget, LayerExtractor } from "./extract.ts";
import { LayerCheck } from "./layer-check.ts";
import type { LayerPlace } from "./layer-paths.ts";
import { Ring, RingStopped } from "./ring.ts";
import { Stopwatch } from "./stopwatch.ts";
import { TarReader } from "./tar.ts";

/** Extracts or checks one layer from the uncompressed bytes that come through a ring, from the open file `fd` if there is one. */
export interface LayerJob {
  readonly ring: SharedArrayBuffer;
  readonly fd: number | undefined;
  readonly control: SharedArrayBuffer;
  readonly target: LayerTarget;
}

/** Where a layer is extracted to; without a root it is only checked. */
export type LayerTarget = ExtractionTarget | (LayerPlace & { readonly root?: undefined });

/**
 * How a job ended; `busyMs` is how long reading and writing the archive took. `layer`: the archive is bad; `disk`: it cannot be written; `cancelled`: the run is cancelled;
 * `unverified`: the blob was, and the thread that reads it says why.
 */
export type LayerOutcome =
  | { readonly ok: true; readonly extracted: Extracted; readonly busyMs: number }
  | {
      readonly ok: false;
      readonly fault: "layer" | "disk" | "cancelled" | "unverified";
      readonly message: string;
    };

function run(job: LayerJob): LayerOutcome {
  const control = new Control(job.control);
  const ring = new Ring(job.ring, "extract", control);
  let extractor: LayerExtractor | LayerCheck | undefined;
  try {
    extractor = job.target.root === undefined ? new LayerCheck(job.target) : new LayerExtractor(job.target);
    const reader = new TarReader(extractor);
    const stopwatch = new Stopwatch();
    ring.drain(
      (bytes) => stopwatch.run(() => reader.write(bytes)),
      job.fd === undefined ? undefined : fileReader(job.fd),
    );
    reader.finish();
    const extracted = extractor.finish();
    return { ok: true, extracted, busyMs: stopwatch.ms };
  } catch (error) {
    const isDisk = isDiskTrouble(error);
    // Whether an archive is bad or its blob corrupt is worth reading the rest of a file, not of a download.
    if (isDisk || job.fd === undefined) ring.stop();
    else ring.leave();
    extractor?.abort();
    if (error instanceof RingStopped) {
      return { ok: false, fault: control.isCancelled ? "cancelled" : "unverified", message: "stopped" };
    }
    return {
      ok: false,
      fault: isDisk ? "disk" : "layer",
      message: isDisk ? describeOnDisk(error, job.target) : describe(error),
    };
  }
}

/** With the path below the layers directory, where the error has one: which of many files it is tells what it needs. */
function describeOnDisk(error: unknown, { root = "", anchor }: LayerTarget): string {
  const path = error instanceof Error && "path" in error ? String("dest" in error ? error.dest : error.path) : "";
  const where = path.startsWith(`${root}/`) ? `${quote([...anchor, path.slice(root.length + 1)].join("/"))}: ` : "";
  return `${where}${describeRefusal(error)}`;
}

declare const self: Worker;

self.onmessage = ({ data }: MessageEvent<LayerJob>) => {
  postMessage(run(data));
};
