import { openCache, readCache } from "./lib/caches/open.ts";
import { openLayersDirectory } from "./lib/disk/directory.ts";
import { become, giveTo, userToBecome } from "./lib/disk/privileges.ts";
import { cacheTrouble } from "./lib/errors.ts";
import { imagesInUse, planImages } from "./lib/images/plan.ts";
import { layersOnDisk } from "./lib/layers/layers-on-disk.ts";
import { planLayers } from "./lib/layers/plan.ts";
import type { Report } from "./lib/layers/report.ts";
import { restoreLayers } from "./lib/layers/restore.ts";
import { withReport } from "./lib/layers/with-report.ts";
import type { Registry } from "./lib/registry/registry.ts";
import { runSession, type Session } from "./lib/session.ts";
import { readAnalyzed, writeAnalyzed } from "./lib/toml/analyzed.ts";
import { readGroup } from "./lib/toml/group.ts";
import { noMetadata } from "./lib/toml/metadata.ts";
import { readRunToml } from "./lib/toml/run-toml.ts";

/** Restores layers and metadata of an earlier build (Platform API, "Restorer"). */
async function restore(session: Session, report: Report): Promise<void> {
  const { inputs, log, umask } = session;

  // What is asked for, and what it takes.
  const group = readGroup(inputs.groupPath, log);
  const analyzed = readAnalyzed(inputs.analyzedPath, log);
  const runToml = analyzed !== undefined && inputs.platformApi >= 14 ? readRunToml(inputs.runPath, log) : [];
  const imagesPlan = planImages({ inputs, hasExtensions: group.hasExtensions, analyzed, runToml });
  const registry = await openRegistry(session, imagesInUse(inputs, imagesPlan));
  const images =
    imagesPlan && (await (await import("./lib/images/images.ts")).openImages(imagesPlan, session, registry));
  const cache = await openCache(session, registry);
  const layers = openLayersDirectory(inputs.layersDir, umask);

  // As root: open what only root can read, hand over what is to be written, and be root no more.
  const user = userToBecome(inputs, log);
  if (user !== undefined) {
    cache?.openAhead?.(group.buildpacks, user);
    giveTo(inputs.layersDir, user, log, inputs.cacheDir);
    giveTo(inputs.kanikoDir, user, log);
    become(user);
  }

  // From here on modes are given exactly.
  process.umask(0);

  // Images of this build, for the phases that follow.
  const changed = await images?.resolve();
  if (changed !== undefined) writeAnalyzed(inputs.analyzedPath, changed, inputs.layersDir, umask);

  // Layers of the earlier build: decide, then do.
  report.cache = cache?.name ?? null;
  const cached = await readCache(cache, session, (message) => report.troubles.push(message));
  const plan = planLayers({
    ...inputs,
    buildpacks: group.buildpacks,
    app: (await images?.appMetadata()) ?? analyzed?.metadata ?? noMetadata,
    cache: cached,
    layersOnDisk: (directory) => layersOnDisk(layers, directory),
  });
  const threads = {
    blob: new URL("./lib/archive/blob-thread.ts", import.meta.url),
    layer: new URL("./lib/archive/layer-thread.ts", import.meta.url),
  };
  await restoreLayers(session, { layers, cache, sbom: cached.sbom, threads }, plan, report);
  if (inputs.strict && report.troubles.length > 0) throw cacheTrouble(report.troubles.join("; "));
}

/** A client for the registries of these images, with credentials, which only root may be able to read. */
async function openRegistry(session: Session, images: readonly string[]): Promise<Registry | undefined> {
  // Malformed credentials are an error also where nothing is asked for them.
  if (images.length === 0 && !session.env["CNB_REGISTRY_AUTH"]) return undefined;
  // Loaded only when needed: it takes longer than a restore from a small volume cache.
  return (await import("./lib/registry/connect.ts")).connect(images, session);
}

await runSession((session) => withReport(session, (report) => restore(session, report)));
