/**
 * `make inject`: has each system call of a small restore fail once, in each of several ways, or kill it, and looks what comes
 * of the run and of the next one. Needs root and strace.
 *
 * Usage: bun test/inject/inject.ts [CALL…], by default all of them. With SAMPLE=n only so many, which SEED decides; with
 * VARIANT=root or VARIANT=dropped only as that user.
 */
import { have, isRoot } from "../support/harness.ts";
import { describeInjection } from "./calls.ts";
import { injectAll, injections, sample } from "./run.ts";
import { InjectionScene, type Variant } from "./scene.ts";

if (!isRoot || !have("strace")) {
  console.log("SKIPPED: faults are injected as root, with strace (a package of Debian), and one of them is missing");
  process.exit(0);
}
const wanted = process.argv.slice(2);
let violations = 0;
const only = process.env.VARIANT;
const variants = (["root", "dropped"] satisfies Variant[]).filter((one) => only === undefined || one === only);
for (const variant of variants) {
  using scene = await InjectionScene.make(variant);
  const possible = injections(await scene.calls()).filter(({ call }) => wanted.length === 0 || wanted.includes(call));
  const every = sample(possible, Number(process.env.SAMPLE ?? possible.length), Number(process.env.SEED ?? 11));
  console.log(`${variant}: ${every.length} faults`);
  let done = 0;
  await injectAll(scene, every, (injection, wrong) => {
    done += 1;
    if (done % 100 === 0) console.log(`${variant}: ${done} of ${every.length}, ${violations} violations in all`);
    if (wrong.length === 0) return;
    violations += 1;
    console.log(`VIOLATION ${variant}, ${describeInjection(injection)}:\n  ${wrong.join("\n  ")}`);
  });
}
console.log(`${violations} violations`);
process.exitCode = violations > 0 ? 1 : 0;
