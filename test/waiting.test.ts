import { expect, test } from "bun:test";
import { orAbort } from "../lib/waiting.ts";

test("work that fails after it was given up fails nothing else", async () => {
  const work = Promise.withResolvers<void>();
  await expect(orAbort(work.promise, AbortSignal.abort(new Error("over")))).rejects.toThrow("over");
  const unhandled: unknown[] = [];
  const note = (reason: unknown) => void unhandled.push(reason);
  process.on("unhandledRejection", note);
  try {
    work.reject(new Error("late"));
    // It is told of a rejection once the microtasks that follow it are done.
    await new Promise(setImmediate);
  } finally {
    process.off("unhandledRejection", note);
  }
  expect(unhandled).toEqual([]);
});
