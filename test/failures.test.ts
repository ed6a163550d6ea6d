import { expect, describe as group, test } from "bun:test";
import { closeSync, openSync, readdirSync, writeSync } from "node:fs";
import { constants } from "node:os";
import { describe, hasCode } from "../lib/errors.ts";
import { cannotWrite, ExitCode, isDiskTrouble, RestorerError, threadFailed } from "../lib/failures.ts";

const coded = (code: string) => Object.assign(new Error(`${code}: write`), { code });

group("a system error while a layer is written", () => {
  test.each([
    ..."EDQUOT EFBIG ENOSPC EACCES EPERM EROFS EMFILE ENFILE ENOMEM".split(" "),
    ..."EIO ENODEV ENOENT ENOTCONN ENXIO ESTALE ETIMEDOUT EUCLEAN EBADMSG".split(" "),
  ])("%s is the disk's, and ends the run", (code) => expect(isDiskTrouble(coded(code))).toBe(true));

  test.each("EEXIST EILSEQ EINVAL ELOOP EMLINK ENAMETOOLONG ENOTDIR ENOTEMPTY".split(" "))(
    "%s is the layer's",
    (code) => expect(isDiskTrouble(coded(code))).toBe(false),
  );

  test("is not what has no code", () => expect(isDiskTrouble(new Error("ENOSPC"))).toBe(false));
});

group("errors that end the run", () => {
  test.each<[string, RestorerError, number, string, string]>([
    ["the disk", cannotWrite("/layers", coded("ENOSPC")), 42, "layers-not-writable", "no space left on device"],
    ["a thread", threadFailed("out of memory"), 1, "thread-failed", "a worker thread failed: out of memory"],
    ["arguments", new RestorerError("x", { exitCode: ExitCode.invalidArguments }), 3, "invalid-arguments", "x"],
    ["anything else", new RestorerError("x"), 1, "failed", "x"],
  ])("%s: they have an exit code, a code and a sentence", (_, error, exitCode, code, message) => {
    expect(error).toMatchObject({ exitCode, code });
    expect(error.message).toContain(message);
  });

  test("a thread's death says nothing of room on a disk", () => expect(threadFailed("x").hint).not.toContain("room"));
});

group("a message and its cause", () => {
  const because = (message: string, cause: unknown) => describe(new Error(message, { cause }));
  test.each([
    ["read x", "is a directory", "read x: is a directory"],
    ["read x: is a directory", "is a directory", "read x: is a directory"],
    ["is a directory", "is a directory", "is a directory"],
    ["read x: is a directory; did you mean y?", "is a directory", "read x: is a directory; did you mean y?"],
    ["write x (rename: not permitted)", "not permitted", "write x (rename: not permitted)"],
    ["get x: it was denied. Log in.", "it was denied.", "get x: it was denied. Log in."],
    // The same words, but not as the reason.
    ["read x of 10 bytes", "10", "read x of 10 bytes: 10"],
    ["failed to read x", "failed", "failed to read x: failed"],
    ["it failed", "failed", "it failed: failed"],
    ['read "a: is a directory"', "is a directory", 'read "a: is a directory": is a directory'],
    ['read "a: is a directory; b"', "is a directory", 'read "a: is a directory; b": is a directory'],
    ['read "a": "b" is a directory', '"b" is a directory', 'read "a": "b" is a directory'],
    ["read x", "", "read x: Error"],
  ])("%j because of %j", (message, cause, told) => expect(because(message, new Error(cause))).toBe(told));

  test("are told to the end, each once", () => {
    const inner = Object.assign(new Error("ENOENT: no such file, open 'x'"), { code: "ENOENT" });
    const middle = new Error(`open x: ${describe(inner)}`, { cause: inner });
    expect(because("start", middle)).toBe("start: open x: no such file or directory");
    expect(because("start", "text")).toBe("start: text");
  });
});

group("the code of an error", () => {
  test("is one of several, or not", () => {
    expect(hasCode(coded("ENOENT"), "EEXIST", "ENOENT")).toBe(true);
    expect(hasCode(coded("ENOENT"), "EEXIST")).toBe(false);
    expect(hasCode(new Error("ENOENT"), "ENOENT")).toBe(false);
    expect(hasCode("ENOENT", "ENOENT")).toBe(false);
  });

  /** Those of networks, processes, terminals and the like, which no operation on a file gives. */
  const elsewhere =
    /^E(ADDR|AFNOSUPPORT|ALREADY|BADE|CHILD|CONN|DESTADDR|DOM|HOST|IDRM|INPROGRESS|ISCONN|MSGSIZE|MULTIHOP|NET|NOBUFS|NOEXEC|NOMSG|NOPROTOOPT|NOSR|NOSTR|NOTSOCK|PIPE|PROTO|RANGE|TIME$)/;

  test.each(Object.keys(constants.errno).filter((code) => !elsewhere.test(code)))("%s has words", (code) => {
    expect(describe(coded(code))).not.toContain(code);
  });

  test("is in words also where the system made the error, and not where somebody else has words of his own", () => {
    expect(describe(caught(() => readdirSync("/nowhere")))).toBe("no such file or directory");
    const ofACall = Object.assign(new Error("setuid() failed: EPERM: Operation not permitted"), { code: "EPERM" });
    expect(describe(ofACall)).toBe("setuid failed: operation not permitted");
    expect(describe(caught(() => writeSync(openFull(), "x")))).toBe("no space left on device");
    expect(describe(Object.assign(new Error("example.org: no answer"), { code: "ETIMEDOUT" }))).toBe(
      "example.org: no answer",
    );
  });
});

function caught(act: () => void): unknown {
  try {
    act();
  } catch (error) {
    return error;
  }
  throw new Error("expected an error");
}

function openFull(): number {
  const fd = openSync("/dev/full", "w");
  setImmediate(() => closeSync(fd));
  return fd;
}
