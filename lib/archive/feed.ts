import type { FromBlobThread, ToBlobThread } from "./blob-thread.ts";
import type { Thread } from "./thread.ts";

/** What came of a blob: what is wrong with it, if anything, and how long the thread was busy with it. */
export interface BlobResult {
  readonly failure: string | undefined;
  readonly busyMs: number;
}

/** Bytes of a stream on their way to a thread. */
const windowBytes = 1 << 20;

/** Feeds a blob to the thread that reads it, no faster than it takes it. */
export class Feed {
  readonly #thread: Thread<ToBlobThread, FromBlobThread>;
  #inFlight = 0;
  #taken: () => void = () => {};
  isDone = false;
  /** Resolves when the thread is done, or dead, to what is wrong with the blob, and how long it was busy. */
  readonly done: Promise<BlobResult>;

  constructor(thread: Thread<ToBlobThread, FromBlobThread>) {
    this.#thread = thread;
    this.done = new Promise((resolve) => {
      const end = (result: BlobResult) => {
        this.isDone = true;
        this.#taken();
        resolve(result);
      };
      const take = (message: FromBlobThread) => {
        if (message.type === "done") {
          end(message);
          return;
        }
        this.#inFlight -= message.bytes;
        this.#taken();
      };
      thread.listen(take, () => end({ failure: undefined, busyMs: 0 }));
    });
  }

  send(message: ToBlobThread): void {
    this.#thread.send(message);
  }

  async write(bytes: Uint8Array): Promise<void> {
    this.#inFlight += bytes.length;
    // Bytes that have a buffer of their own change hands without being copied.
    const isWhole = bytes.byteLength === bytes.buffer.byteLength;
    const transfer = isWhole && bytes.buffer instanceof ArrayBuffer ? [bytes.buffer] : [];
    this.#thread.send({ type: "chunk", bytes }, transfer);
    while (this.#inFlight > windowBytes && !this.isDone) {
      await new Promise<void>((resolve) => {
        this.#taken = resolve;
      });
    }
  }
}
