/**
 * Preloaded before a program: writes to the file that COSTLY_CALLS names which methods it called that the engine compiles at
 * each start, and each first use of which takes some 30 µs there.
 */
import { writeFileSync } from "node:fs";

const methods = ["every", "filter", "find", "findIndex", "flatMap", "forEach", "map", "reduce", "some"] as const;
const called = new Set<string>();

for (const name of methods) {
  const original: unknown = Reflect.get(Array.prototype, name);
  if (typeof original !== "function") throw new Error(`Array.prototype.${name} is not a function`);
  Reflect.defineProperty(Array.prototype, name, {
    configurable: true,
    writable: true,
    value(this: unknown, ...args: unknown[]): unknown {
      called.add(name);
      return Reflect.apply(original, this, args);
    },
  });
}

const { exit } = process;
process.exit = (code) => {
  writeFileSync(process.env["COSTLY_CALLS"] ?? "", [...called].sort().join(" "));
  return exit(code);
};
