import { Control } from "./control.ts";
import { doUnlessCancelled, type SmallJob, type SmallOutcome } from "./small-layer.ts";

/** Small layers to extract or check, one after the other. */
export interface SmallBatch {
  readonly control: SharedArrayBuffer;
  readonly jobs: readonly SmallJob[];
}

function run({ control: words, jobs }: SmallBatch): SmallOutcome[] {
  const control = new Control(words);
  return jobs.map((job) => doUnlessCancelled(control, job));
}

declare const self: Worker;

self.onmessage = ({ data }: MessageEvent<SmallBatch>) => {
  postMessage(run(data));
};
