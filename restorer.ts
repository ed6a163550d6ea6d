import { openCaches } from "./lib/caches/open.ts";
import { cacheReferences, sharedPlaces } from "./lib/caches/place.ts";
import { splitCommand } from "./lib/cli/commands.ts";
import { keepInPlace } from "./lib/disk/cache-places.ts";
import { refuseFewDescriptors } from "./lib/disk/descriptors.ts";
import { handOver } from "./lib/disk/ownership.ts";
import { trustSecondUser } from "./lib/disk/second-user.ts";
import { become, userToBecome } from "./lib/disk/user.ts";
import { openPlannedImages } from "./lib/images/open.ts";
import { imagesInUse, planImages } from "./lib/images/plan.ts";
import { writeAnalyzed } from "./lib/images/write-analyzed.ts";
import { decide } from "./lib/layers/decide.ts";
import { openLayersDirectory } from "./lib/layers/layers-directory.ts";
import type { Report } from "./lib/layers/report.ts";
import { restoreLayers } from "./lib/layers/restore.ts";
import { failIfTroubled } from "./lib/layers/summary.ts";
import { reportRefused, withReport } from "./lib/layers/with-report.ts";
import { platformHas } from "./lib/platform-api.ts";
import { openRegistry } from "./lib/registry/open.ts";
import { type RefusedRun, runCommand, runSession, type Session } from "./lib/session.ts";
import { readAnalyzed } from "./lib/toml/analyzed.ts";
import { readGroup } from "./lib/toml/group.ts";
import { readRunToml } from "./lib/toml/run-toml.ts";
import { Pauses } from "./lib/waiting.ts";

/** Restores layers and metadata of an earlier build (Platform API, "Restorer"). */
async function restore(session: Session, report: Report): Promise<void> {
  const { inputs, log, umask } = session;

  // What root may not read, the user may whom it is about to become.
  const user = userToBecome(inputs, log);
  trustSecondUser(user);
  const places = sharedPlaces(inputs);
  keepInPlace(places.cacheDirs, inputs.layersDir);

  // What is asked for, and what it takes.
  const pauses = new Pauses(session.signal);
  const group = readGroup(inputs.groupPath, log);
  await pauses.pause();
  const analyzed = readAnalyzed(inputs.analyzedPath, log);
  // Where nothing is recorded, and nothing was named or stands there, a few open files are enough.
  if (analyzed !== undefined && analyzed.metadata.buildpacks.length > 0) refuseFewDescriptors();
  await pauses.pause();
  const readsRunToml = analyzed !== undefined && platformHas(inputs.platformApi, "run-toml");
  const runToml = readsRunToml ? readRunToml(inputs.runPath, log) : [];
  await pauses.pause();
  const imagesPlan = planImages({ inputs, hasExtensions: group.hasExtensions, analyzed, runToml });
  const registry = await openRegistry(session, imagesInUse(cacheReferences(inputs), imagesPlan));
  const images = await openPlannedImages(imagesPlan, session, registry);
  const caches = await openCaches(session, registry, true);
  const layers = openLayersDirectory(inputs.layersDir, umask, [inputs.kanikoDir]);

  // As root: open what only root can read, hand over what is to be written, and be root no more.
  if (user !== undefined) {
    for (const cache of caches) await cache.openAhead?.(group.buildpacks, user);
    handOver(layers, places, user, log);
    become(user);
  }

  // From here on modes are given exactly.
  process.umask(0);

  // Images of this build, for the phases that follow.
  report.images = images?.done;
  const changed = await images?.resolve();
  if (changed !== undefined) writeAnalyzed(inputs.analyzedPath, changed, places, umask);

  // Layers of the earlier build: decide, then do.
  [report.cache] = caches;
  const sources = { group, analyzed, images, caches, layers };
  const decided = await decide(session, sources, (trouble) => report.troubles.push(trouble));
  report.cache = decided.chosen?.cache ?? report.cache;
  await restoreLayers(session, layers, decided, report);
  if (inputs.strict) failIfTroubled(report, log.level);
}

/** A run that does not begin; perhaps a command was meant. */
async function refused(run: RefusedRun): Promise<void> {
  reportRefused(run);
  const { unknownCommand } = run.inputs;
  if (unknownCommand === undefined) return;
  const { refusedAtDesk } = await import("./lib/desk/commands.ts");
  await refusedAtDesk(unknownCommand)(run.error);
}

const { command, rest } = splitCommand(process.argv.slice(2));
if (command === "restore") {
  await runSession(rest, (session) => withReport(session, (report) => restore(session, report)), refused);
} else {
  // Loaded only for those who look: platforms call the restore.
  const { atDesk, refusedAtDesk } = await import("./lib/desk/commands.ts");
  await runCommand(command, rest, atDesk(command), refusedAtDesk(command));
}
