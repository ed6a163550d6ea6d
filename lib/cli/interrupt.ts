/** The signals that stop a run, with their numbers on Linux. (Loading node:os for them takes half a millisecond.) */
const stopSignals = [
  ["SIGINT", 2],
  ["SIGTERM", 15],
  ["SIGHUP", 1],
  ["SIGQUIT", 3],
] as const;
type StopSignal = (typeof stopSignals)[number];

/** How long a run may take to clean up behind itself once it is asked to stop. */
const cleanUpMs = 850;

/** What ends a run that a signal asks to stop; its exit code is the shell's for that signal (contract §1). */
export class Interrupted extends Error {
  readonly exitCode: number;

  constructor([name, number]: StopSignal) {
    super(`stopped by ${name}`);
    this.exitCode = 128 + number;
  }
}

/** How a run ends: by the first reason that is given. One that is late in stopping was told so already when it comes to its end. */
export class Ending {
  readonly #tell: (reason: unknown) => number;
  #exitCode: number | undefined;

  /** `tell` says why, and gives the exit code. */
  constructor(tell: (reason: unknown) => number) {
    this.#tell = tell;
  }

  /** Undefined as long as no reason was given. */
  get exitCode(): number | undefined {
    return this.#exitCode;
  }

  /** Returns the exit code. */
  because(reason: unknown): number {
    this.#exitCode ??= this.#tell(reason);
    return this.#exitCode;
  }
}

/**
 * Aborts the returned signal, with an Interrupted as its reason, when the process is asked to stop. `overdue` is called
 * should the run still go on when the time for cleaning up is over.
 */
export function abortOnSignal(overdue: (reason: Interrupted) => void): AbortSignal {
  const aborter = new AbortController();
  for (const stopSignal of stopSignals) {
    process.on(stopSignal[0], () => {
      if (aborter.signal.aborted) return;
      const reason = new Interrupted(stopSignal);
      aborter.abort(reason);
      setTimeout(() => overdue(reason), cleanUpMs).unref();
    });
  }
  return aborter.signal;
}
