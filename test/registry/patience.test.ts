import { expect, describe as group, test } from "bun:test";
import { Patience } from "../../lib/registry/patience.ts";

/** Registries of one run, and a clock that moves by hand. */
function patiences(totalMs: number, graceMs: number, ...hosts: string[]) {
  const clock = { ms: 0 };
  const silence = { totalMs, spentMs: 0 };
  const all = hosts.map((host) => new Patience(host, silence, graceMs, () => clock.ms));
  const wait = (patience: Patience | undefined, ms: number, excused = false) => {
    patience?.begin();
    clock.ms += ms;
    if (excused) patience?.excuse();
    patience?.end();
  };
  return { all, silence, wait };
}

group("the silence of registries", () => {
  test("adds up over requests, and ends everything at a registry that is silent once it is too much", () => {
    const { all, silence, wait } = patiences(60_000, 100, "reg.io");
    wait(all[0], 30_000);
    wait(all[0], 30_000);
    expect([silence.spentMs, all[0]?.signal.aborted]).toEqual([60_000, false]);
    wait(all[0], 101);
    expect(String(all[0]?.signal.reason)).toContain("reg.io kept us waiting in silence for 60 s in all");
  });

  test("that is as short as silence usually is does not count", () => {
    const { all, silence, wait } = patiences(60_000, 100, "reg.io");
    for (let i = 0; i < 10_000; i++) wait(all[0], 100);
    expect([silence.spentMs, all[0]?.signal.aborted]).toEqual([0, false]);
  });

  test("that a server asked for does not count", () => {
    const { all, silence, wait } = patiences(60_000, 100, "reg.io");
    for (let i = 0; i < 100; i++) wait(all[0], 10_000, true);
    expect([silence.spentMs, all[0]?.signal.aborted]).toEqual([0, false]);
  });

  test("of several is one, and does not end what a registry that answers is asked for", () => {
    const { all, wait } = patiences(60_000, 100, "one.io", "two.io", "three.io");
    wait(all[0], 40_000);
    wait(all[1], 30_000);
    wait(all[2], 50);
    expect(all.map(({ signal }) => signal.aborted)).toEqual([false, true, false]);
    expect(String(all[1]?.signal.reason)).toContain("two.io and other registries kept us waiting");
  });

  test("ends at whatever comes, though more is awaited", () => {
    const clock = { ms: 0 };
    const silence = { totalMs: 60_000, spentMs: 0 };
    const patience = new Patience("reg.io", silence, 100, () => clock.ms);
    patience.begin();
    patience.begin();
    for (let i = 0; i < 1000; i++) {
      clock.ms += 90;
      patience.heard();
    }
    patience.end();
    patience.end();
    expect(silence.spentMs).toBe(0);
  });
});
