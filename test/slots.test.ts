import { expect, test } from "bun:test";
import { Slots } from "../lib/slots.ts";

test("no more have a slot at a time than there are, and nobody is forgotten", async () => {
  const slots = new Slots(3);
  const never = new AbortController();
  let [inside, most, done] = [0, 0, 0];
  const work = async () => {
    using _slot = await slots.take(never.signal);
    inside += 1;
    most = Math.max(most, inside);
    await Bun.sleep(0);
    inside -= 1;
    done += 1;
  };
  const gaveUp = new AbortController();
  const held = await Promise.all([1, 2, 3].map(() => slots.take(never.signal)));
  const late = slots.take(gaveUp.signal);
  gaveUp.abort(new Error("gave up"));
  await expect(late).rejects.toThrow("gave up");
  const others = Array.from({ length: 20 }, work);
  for (const slot of held) slot[Symbol.dispose]();
  await Promise.all(others);
  expect([most, done]).toEqual([3, 20]);
});
