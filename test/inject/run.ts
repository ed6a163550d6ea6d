import { Random } from "../archive/random.ts";
import { faults, type Injection } from "./calls.ts";
import type { InjectionScene } from "./scene.ts";

const atOnce = 2;

/** Every call with every fault. */
export function injections(calls: readonly { call: string; nth: number }[]): Injection[] {
  return calls.flatMap((call) => faults.map((fault) => ({ ...call, fault })));
}

/** Some of them in random order, which a seed decides. */
export function sample(all: readonly Injection[], count: number, seed: number): Injection[] {
  const random = new Random(seed);
  const left = [...all];
  return Array.from({ length: Math.min(count, all.length) }, () => left.splice(random.below(left.length), 1)).flat();
}

/** Injects one after the other, two at once; `tell` hears what is wrong after each. */
export async function injectAll(
  scene: InjectionScene,
  all: readonly Injection[],
  tell: (injection: Injection, wrong: readonly string[]) => void,
): Promise<void> {
  const queue = [...all];
  const work = async (): Promise<void> => {
    for (let next = queue.shift(); next !== undefined; next = queue.shift()) tell(next, await scene.inject(next));
  };
  await Promise.all(Array.from({ length: atOnce }, work));
}
