import type { ErrorCode } from "./error-codes.ts";
import { describeRefusal, errorCode, hasCode } from "./errors.ts";
import { quote } from "./text.ts";

/*
 * What trouble costs (contract §1, D5, D12). Whatever is not listed costs the run, with exit code 1.
 *
 * | trouble                                          | comes as                              | costs             | exit |
 * |--------------------------------------------------|---------------------------------------|-------------------|------|
 * | one blob: corrupt, missing, not a layer's        | BlobError, CompressionError, TarError | the layer         | 0    |
 * | the metadata of one layer, not to be written     | DataError                             | the layer         | 0    |
 * | the place of one layer, such as a mount point    | PlaceError                            | the layer         | 0    |
 * | opening one blob of a cache                      | CacheError                            | the layer         | 0    |
 * | the whole cache: absent, unreachable, malformed  | CacheError                            | the cache         | 0    |
 * | any of these, where the run is strict            | `cacheTrouble`                        | the run           | 42   |
 * | the disk written to (`isDiskTrouble`)            | `cannotWrite`                         | the run           | 42   |
 * | a worker thread that died, or was refused        | `threadFailed`                        | the run           | 1    |
 * | inputs, images, privileges, the report           | RestorerError                         | the run           | its own |
 */

/** Exit codes of the restore phase (Platform API, "Restorer"; 3 and 42 as the reference lifecycle uses them). */
export const ExitCode = {
  ok: 0,
  failed: 1,
  invalidArguments: 3,
  platformApi: 11,
  buildpackApi: 12,
  restoreFailed: 42,
} as const;

/** One of these. */
export type ExitCode = (typeof ExitCode)[keyof typeof ExitCode];

/** The code of an error that has none of its own. */
const codes: Readonly<Record<ExitCode, ErrorCode>> = {
  [ExitCode.ok]: "ok",
  [ExitCode.failed]: "failed",
  [ExitCode.invalidArguments]: "invalid-arguments",
  [ExitCode.platformApi]: "platform-api-unsupported",
  [ExitCode.buildpackApi]: "buildpack-api-unsupported",
  [ExitCode.restoreFailed]: "restore-failed",
};

/** What an error that ends the run tells beside its message. */
interface RestorerErrorOptions {
  readonly exitCode?: ExitCode;
  /** Names the error for programs; by default one that the exit code tells. */
  readonly code?: ErrorCode;
  readonly cause?: unknown;
  /** What the reader can do about it; printed as a sentence of its own. */
  readonly hint?: string;
}

/** An error that ends the run: `message` says what was attempted and on what, `hint` what to do next. */
export class RestorerError extends Error {
  override readonly name = "RestorerError";
  readonly exitCode: ExitCode;
  readonly code: ErrorCode;
  readonly hint: string | undefined;

  constructor(message: string, options: RestorerErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.exitCode = options.exitCode ?? ExitCode.failed;
    this.code = options.code ?? codes[this.exitCode];
    this.hint = options.hint;
  }
}

/** What is given up because the run fails for another reason. */
export class Stopped extends RestorerError {}

/**
 * Whether a system error of writing a layer is about the disk, which concerns every layer, rather than about this layer,
 * whose names may be too long or not to the liking of the file system.
 */
export function isDiskTrouble(error: unknown): boolean {
  return hasCode(error, ...diskErrors);
}

const diskErrors = [
  // Full, or bounded.
  "EDQUOT",
  "EFBIG",
  "ENOSPC",
  // Not for this user, not for writing, or not for anybody on this file system.
  "EACCES",
  "ENOSYS",
  "ENOTSUP",
  "EOPNOTSUPP",
  "EOVERFLOW",
  "EPERM",
  "EROFS",
  // The process or the machine has no more of something.
  "EMFILE",
  "ENFILE",
  "ENOMEM",
  // Broken, or gone: a disk, a mount, or the server behind it.
  "EBADMSG",
  "ECONNABORTED",
  "EHOSTDOWN",
  "EIO",
  "ENODEV",
  "ENOENT",
  "ENOTCONN",
  "ENXIO",
  "EREMOTEIO",
  "ESTALE",
  "ETIMEDOUT",
  "EUCLEAN",
] as const;

const notWritable = { exitCode: ExitCode.restoreFailed, code: "layers-not-writable" } as const;

const generalHint =
  "The layers directory must be writable, with room for all layers, on a file system that allows what is done there.";

const notAllowed = () =>
  `It must be writable for uid ${process.geteuid?.()}, as which the restorer runs by now: give it to that user with chown, or see -uid and -gid.`;

const hints: Readonly<Record<string, string>> = {
  ENOTDIR: "A directory belongs there: remove what stands in its place.",
  EROFS: "Mount it writable.",
};

/** The error for what cannot be written below the layers directory (D12). `hint` is for what only the caller knows. */
export function cannotWrite(path: string, error: unknown, hint?: string): RestorerError {
  if (error instanceof RestorerError) return error;
  return new RestorerError(`write ${quote(path)}: ${describeRefusal(error)}`, {
    ...notWritable,
    cause: error,
    hint: hint ?? (hasCode(error, "EACCES") ? notAllowed() : hints[errorCode(error) ?? ""]) ?? generalHint,
  });
}

/** The error for a layer that cannot be written below the layers directory, as the thread that tried tells it (D12). */
export function cannotWriteBelow(layersDir: string, message: string): RestorerError {
  return new RestorerError(`write below ${quote(layersDir)}: ${message}`, { ...notWritable, hint: generalHint });
}

/** The error for a worker thread that died, or could not be started: the layers are not to blame, nor is the disk. */
export function threadFailed(why: string): RestorerError {
  return new RestorerError(`restore layers: a worker thread failed: ${why}`, {
    code: "thread-failed",
    hint: "The machine or container may be short of memory, or allow too few threads; see its limits on memory and processes.",
  });
}

/** The error for cache trouble where the run is strict. */
export function cacheTrouble(what: string): RestorerError {
  return new RestorerError(`restore from the cache: ${what}`, {
    exitCode: ExitCode.restoreFailed,
    code: "cache-trouble",
    hint: "Without -strict, the build goes on without what could not be restored.",
  });
}
