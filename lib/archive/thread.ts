/** A worker thread that is sent messages of type `In` and answers with messages of type `Out`. */
export class Thread<In, Out> {
  readonly #worker: Worker;
  #take: (message: Out) => void = () => {};
  #died: () => void = () => {};
  #isDead = false;

  /** Throws where the system refuses another thread. Calls `onDeath` once, should the thread end by itself. */
  constructor(script: URL, onDeath: (why: string) => void) {
    this.#worker = new Worker(script.href);
    this.#worker.onmessage = ({ data }: MessageEvent<Out>) => this.#take(data);
    const die = (why: string) => {
      if (this.#isDead) return;
      this.#isDead = true;
      onDeath(why);
      this.#died();
    };
    this.#worker.onerror = ({ message }) => die(message);
    this.#worker.addEventListener("close", () => die("it ended"));
  }

  /** Has messages go to `take` from now on, until there is a death to tell to `died`. */
  listen(take: (message: Out) => void, died: () => void): void {
    this.#take = take;
    this.#died = died;
    if (this.#isDead) died();
  }

  send(message: In, transfer: ArrayBuffer[] = []): void {
    this.#worker.postMessage(message, transfer);
  }
}
