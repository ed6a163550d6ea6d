/**
 * Runs a command and writes the peak memory of its process, in bytes, into a file: `bun peak-rss.ts FILE COMMAND…`. What a
 * process that starts another one holds itself counts as the other's, so that a small one must stand in between.
 */
const [file = "", ...command] = process.argv.slice(2);
const child = Bun.spawnSync(command, { stdin: "inherit", stdout: "inherit", stderr: "inherit" });
await Bun.write(file, String(child.resourceUsage?.maxRSS));
process.exit(child.exitCode);
