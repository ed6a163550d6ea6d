/**
 * `make race`: runs the executable as root while a process without rights swaps what it works on for symbolic links and
 * back, and looks whether anything outside was touched.
 *
 * Usage: bun test/race/race.ts [ROUNDS] [KIND…]. ROUNDS of each kind, by default 2,000.
 */
import { isRoot, restorerPath } from "../support/harness.ts";
import { kinds } from "./kinds.ts";
import { race } from "./rounds.ts";

const [rounds = "2000", ...names] = process.argv.slice(2);
const unknown = names.filter((name) => !kinds.some((kind) => kind.name === name));
if (!isRoot || unknown.length > 0 || !/^[1-9][0-9]*$/.test(rounds)) {
  const known = kinds.map(({ name }) => name).join(", ");
  console.error(`races need root, a number of rounds, and kinds that are among these: ${known}`);
  process.exit(1);
}
console.log(`racing ${restorerPath()}, ${rounds} rounds of each kind`);
let hits = 0;
for (const kind of kinds.filter(({ name }) => names.length === 0 || names.includes(name))) {
  const began = performance.now();
  const tally = await race(kind, Number(rounds), console.error);
  const exits = [...tally.exits].map(([exit, count]) => `${count} × exit ${exit}`).join(", ");
  const seconds = Math.round((performance.now() - began) / 1000);
  console.log(`${kind.name}: ${tally.hits.length} hits in ${tally.rounds} rounds, ${seconds} s (${exits})`);
  hits += tally.hits.length;
}
process.exitCode = hits > 0 ? 1 : 0;
