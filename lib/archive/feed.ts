import type { FromBlobThread, ToBlobThread } from "./blob-thread.ts";
import type { Thread } from "./thread.ts";

/** Bytes of a stream on their way to a thread. */
const windowBytes = 1 << 20;

/** Feeds a blob to the thread that reads it, no faster than it takes it. */
export class Feed {
  readonly #thread: Thread<ToBlobThread, FromBlobThread>;
  #inFlight = 0;
  #taken: () => void = () => {};
  isDone = false;
  /** Resolves when the thread is done, or dead, to what is wrong with the blob. */
  readonly done: Promise<string | undefined>;

  constructor(thread: Thread<ToBlobThread, FromBlobThread>) {
    this.#thread = thread;
    this.done = new Promise((resolve) => {
      const end = (failure: string | undefined) => {
        this.isDone = true;
        this.#taken();
        resolve(failure);
      };
      const take = (message: FromBlobThread) => {
        if (message.type === "done") {
          end(message.failure);
          return;
        }
        this.#inFlight -= message.bytes;
        this.#taken();
      };
      thread.listen(take, () => end(undefined));
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
