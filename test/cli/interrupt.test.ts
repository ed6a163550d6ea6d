import { expect, test } from "bun:test";
import { Ending } from "../../lib/cli/interrupt.ts";

test("why a run ends is told once, though it comes to its end after it was late in stopping", () => {
  const told: unknown[] = [];
  const ending = new Ending((reason) => told.push(reason));
  expect(ending.exitCode).toBeUndefined();
  expect(ending.because("a signal")).toBe(1);
  expect(ending.because("the same signal, at its end")).toBe(1);
  expect(ending.exitCode).toBe(1);
  expect(told).toEqual(["a signal"]);
});
