/** Adds up how long work takes, in milliseconds. */
export class Stopwatch {
  ms = 0;

  run<T>(work: () => T): T {
    const began = performance.now();
    try {
      return work();
    } finally {
      this.ms += performance.now() - began;
    }
  }

  /** Runs what lies within work that is timed, but does not count. */
  pause<T>(wait: () => T): T {
    const began = performance.now();
    try {
      return wait();
    } finally {
      this.ms -= performance.now() - began;
    }
  }
}
