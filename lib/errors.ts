/** Exit codes of the restore phase (Platform API, "Restorer"; 3 and 42 as the reference lifecycle uses them). */
export const ExitCode = {
  ok: 0,
  failed: 1,
  invalidArguments: 3,
  platformApi: 11,
  buildpackApi: 12,
  restore: 42,
} as const;

export type ExitCode = (typeof ExitCode)[keyof typeof ExitCode];

export interface RestorerErrorOptions {
  readonly exitCode?: ExitCode;
  readonly cause?: unknown;
  /** What the reader can do about it; printed as a sentence of its own. */
  readonly hint?: string;
}

/** An error that ends the run: `message` says what was attempted and on what, `hint` what to do next. */
export class RestorerError extends Error {
  override readonly name = "RestorerError";
  readonly exitCode: ExitCode;
  readonly hint: string | undefined;

  constructor(message: string, options: RestorerErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.exitCode = options.exitCode ?? ExitCode.failed;
    this.hint = options.hint;
  }
}

/** The system error code (`ENOENT`, …) of a thrown value, or undefined. */
export function errorCode(error: unknown): string | undefined {
  if (error instanceof Error && "code" in error && typeof error.code === "string") return error.code;
  return undefined;
}

/** Whether a thrown value is a system error with one of these codes. */
export function hasCode(error: unknown, ...codes: readonly string[]): boolean {
  return codes.includes(errorCode(error) ?? "");
}

const systemErrors: Readonly<Record<string, string>> = {
  EACCES: "permission denied",
  EBUSY: "busy, perhaps a mount point",
  EDQUOT: "disk quota exceeded",
  EEXIST: "already exists",
  EFBIG: "file too large",
  EIO: "input/output error",
  EISDIR: "is a directory",
  ELOOP: "is a symbolic link, or too many of them",
  EMFILE: "too many open files in this process (raise `ulimit -n`)",
  ENAMETOOLONG: "name too long",
  ENFILE: "too many open files on this machine",
  ENOENT: "no such file or directory",
  ENOSPC: "no space left on device",
  ENOTDIR: "not a directory",
  ENOTEMPTY: "directory not empty",
  EPERM: "operation not permitted",
  EROFS: "read-only file system",
  EXDEV: "on another device",
};

/** One line that says what went wrong: the message of a thrown value and of its causes, system errors in plain words. */
export function describe(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const code = errorCode(error);
  const own = (code !== undefined && systemErrors[code]) || error.message || error.name;
  if (error.cause === undefined) return own;
  const cause = describe(error.cause);
  // Some messages end with their cause already.
  return own.endsWith(cause) ? own : `${own}: ${cause}`;
}

const hints: Readonly<Record<string, string>> = {
  EACCES: "It must be writable for the user the restorer runs as; see -uid and -gid.",
  ENOTDIR: "A directory belongs there: remove what stands in its place.",
  EROFS: "Mount it writable.",
};

/** The error for what cannot be written below the layers directory (D12). */
export function cannotWrite(path: string, error: unknown): RestorerError {
  if (error instanceof RestorerError) return error;
  return new RestorerError(`write ${JSON.stringify(path)}: ${describe(error)}`, {
    exitCode: ExitCode.restore,
    cause: error,
    hint: hints[errorCode(error) ?? ""] ?? "The layers directory must be writable, with room for the layers.",
  });
}

/** The error for cache trouble where the run is strict. */
export function cacheTrouble(what: string): RestorerError {
  return new RestorerError(`restore from the cache: ${what}`, {
    exitCode: ExitCode.restore,
    hint: "Without -strict, the build goes on without what could not be restored.",
  });
}
