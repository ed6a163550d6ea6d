import { lazily } from "./lazily.ts";

/** The system error code (`ENOENT`, …) of a thrown value, or undefined. */
export function errorCode(error: unknown): string | undefined {
  if (error instanceof Error && "code" in error && typeof error.code === "string") return error.code;
  return undefined;
}

/** Whether a thrown value is a system error with one of these codes. */
export function hasCode(error: unknown, ...codes: readonly string[]): boolean {
  const code = errorCode(error);
  return code !== undefined && codes.includes(code);
}

/** In words, what an operation on a file or directory may answer on Linux. */
const systemErrors = lazily(
  (): Readonly<Record<string, string>> => ({
    E2BIG: "argument list too long",
    EACCES: "permission denied",
    EAGAIN: "temporarily unavailable",
    EBADF: "the file is not open",
    EBADMSG: "the file system's data is damaged",
    EBUSY: "busy, perhaps a mount point",
    ECANCELED: "operation cancelled",
    ECONNABORTED: "the connection to the file system was ended",
    ECONNREFUSED: "connection refused",
    ECONNRESET: "connection closed by the other side",
    EDEADLK: "two processes wait for each other's locks",
    EDQUOT: "disk quota exceeded",
    EEXIST: "already exists",
    EFAULT: "bad address in memory",
    EFBIG: "file too large",
    EHOSTDOWN: "the file server is down",
    EHOSTUNREACH: "the file server cannot be reached",
    EILSEQ: "the file system does not allow this name",
    EINTR: "interrupted",
    EINVAL: "not valid for this file or file system",
    EIO: "input/output error",
    EISDIR: "is a directory",
    EKEYEXPIRED: "the file system's key has expired",
    EKEYREJECTED: "the file system's key was rejected",
    EKEYREVOKED: "the file system's key was revoked",
    ELOOP: "is a symbolic link, or too many of them",
    EMEDIUMTYPE: "wrong kind of medium",
    EMFILE: "too many open files in this process (raise `ulimit -n`)",
    EMLINK: "too many links to it",
    ENAMETOOLONG: "name too long",
    ENETDOWN: "the network is down",
    ENETUNREACH: "the network of the file server cannot be reached",
    ENFILE: "too many open files on this machine",
    ENODATA: "no such attribute",
    ENODEV: "no such device",
    ENOENT: "no such file or directory",
    ENOKEY: "the file system's key is missing",
    ENOLCK: "no more locks available",
    ENOLINK: "the link to the file server is gone",
    ENOMEDIUM: "no medium in the drive",
    ENOMEM: "out of memory",
    ENOSPC: "no space left on device",
    ENOSYS: "not supported on this system",
    ENOTCONN: "the file system is not connected any more",
    ENOTDIR: "not a directory",
    ENOTEMPTY: "directory not empty",
    ENOTSUP: "not supported by the file system",
    ENOTTY: "not supported for this kind of file",
    ENXIO: "no such device or address",
    EOPNOTSUPP: "not supported by the file system",
    EOVERFLOW: "a number is too large for the file system, or the user is not mapped here",
    EPERM: "operation not permitted",
    EPIPE: "nobody reads the other end",
    EREMOTEIO: "input/output error on the file server",
    EROFS: "read-only file system",
    ESHUTDOWN: "the file system has been shut down",
    ESPIPE: "not a file with positions",
    ESRCH: "no such process",
    ESTALE: "the file server does not know this file any more",
    ETIMEDOUT: "no answer in time",
    ETXTBSY: "is a program that runs",
    EUCLEAN: "the file system is damaged",
    EUSERS: "too many users",
    EWOULDBLOCK: "temporarily unavailable",
    EXDEV: "on another device",
  }),
);

/** What a file system refuses that does not know how to, by the name of the system call. */
const refusals: Readonly<Record<string, string>> = {
  chmod: "change modes",
  chown: "change owners",
  copyfile: "copy files",
  fchmod: "change modes",
  fchown: "change owners",
  fdatasync: "write to the disk at once",
  fsync: "write to the disk at once",
  link: "make hard links",
  mkdir: "make directories",
  open: "open or make files",
  rename: "rename files or directories",
  rmdir: "remove directories",
  symlink: "make symbolic links",
  unlink: "remove files",
};

/** Whether a file system does not allow a call, to nobody or not to this user. */
export function isRefused(error: unknown): boolean {
  return hasCode(error, "EPERM", "ENOSYS", "ENOTSUP", "EOPNOTSUPP");
}

/** As `describe`; where a file system refused a call, with that call. */
export function describeRefusal(error: unknown): string {
  const call = error instanceof Error && "syscall" in error ? String(error.syscall) : "";
  const what = isRefused(error) ? refusals[call] : undefined;
  return what === undefined ? describe(error) : `the file system refuses to ${what} (${call}: ${describe(error)})`;
}

/** What a system error's code says, in words; undefined for one that nobody knows. */
export function inWords(code: string): string | undefined {
  return systemErrors()[code];
}

/** For a system error whose message has its code in front, or behind the name of a call, as that of `setuid` has. */
function wordsFor({ message }: Error, code: string | undefined): string | undefined {
  const words = code === undefined ? undefined : systemErrors()[code];
  if (words === undefined || code === undefined) return undefined;
  if (message.startsWith(code)) return words;
  const call = /^(\w+)\(\) failed: /.exec(message)?.[1];
  return call !== undefined && message.startsWith(`${call}() failed: ${code}`) ? `${call} failed: ${words}` : undefined;
}

/**
 * One line that says what went wrong: the message of a thrown value and of its causes, system errors in plain words. An
 * error whose message does not begin with its code, such as one about a connection, has words of its own.
 */
export function describe(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const code = errorCode(error);
  const own = wordsFor(error, code) || error.message || error.name;
  if (error.cause === undefined) return own;
  const cause = describe(error.cause);
  return tells(own, cause) ? own : `${own}: ${cause}`;
}

/**
 * Whether a message tells its cause already: as a clause of its own, behind a colon and before the end or a stop. The same words
 * in a name that is quoted, or within others, tell nothing.
 */
function tells(message: string, cause: string): boolean {
  for (let at = message.indexOf(cause); at >= 0; at = message.indexOf(cause, at + 1)) {
    const [before, after] = [message.slice(0, at), message.slice(at + cause.length)];
    const isQuoted = (before.replace(/\\./g, "").split('"').length - 1) % 2 === 1;
    const ends = after === "" || /^[;:,.)]/.test(after) || (/[.!?]$/.test(cause) && after.startsWith(" "));
    if (!isQuoted && /(^|[:;(] ?)$/.test(before) && ends) return true;
  }
  return false;
}
