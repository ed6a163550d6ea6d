import { readAnalyzed } from "./lib/analyzed.ts";
import { type Cache, CacheError } from "./lib/cache.ts";
import { openLayersDirectory } from "./lib/directory.ts";
import { ExitCode, RestorerError } from "./lib/errors.ts";
import { readGroup } from "./lib/group.ts";
import type { Inputs } from "./lib/inputs.ts";
import type { Log } from "./lib/log.ts";
import { type ImageMetadata, noMetadata } from "./lib/metadata.ts";
import { planLayers } from "./lib/plan.ts";
import { become, giveTo, userToBecome } from "./lib/privileges.ts";
import type { Registry } from "./lib/registry.ts";
import { type Report, writeReport } from "./lib/report.ts";
import { restoreLayers } from "./lib/restore.ts";
import { runSession, type Session } from "./lib/session.ts";
import { standingLayers } from "./lib/standing.ts";
import { summarize } from "./lib/summary.ts";
import { VolumeCache } from "./lib/volume-cache.ts";
import { Workers } from "./lib/workers.ts";

/** Restores layers and metadata of an earlier build (Platform API, "Restorer"). */
async function restore(session: Session): Promise<void> {
  const { inputs, log, progress, signal, umask } = session;
  const began = performance.now();
  const group = readGroup(inputs.groupPath);
  const analyzed = readAnalyzed(inputs.analyzedPath, log);
  const registry = await openRegistry(session, [inputs.cacheImage ?? []].flat());
  const cache = await openCache(session, registry);

  // As root: hand over what is to be written, and open what only root can read. Then never again.
  const user = userToBecome(inputs, log);
  const layers = openLayersDirectory(inputs.layersDir, umask);
  if (user !== undefined) {
    if (cache instanceof VolumeCache) cache.openAhead(group.buildpacks, user);
    giveTo(inputs.layersDir, user, log);
    giveTo(inputs.kanikoDir, user, log);
    become(user);
  }

  const report: Report = {
    platformApi: `0.${inputs.platformApi}`,
    cache: cache?.name ?? null,
    layers: [],
    troubles: [],
    seconds: 0,
  };
  const cached = await readCache(cache, inputs, report, log);
  const plan = planLayers({
    platformApi: inputs.platformApi,
    execEnv: inputs.execEnv,
    skipLayers: inputs.skipLayers,
    buildpacks: group.buildpacks,
    app: analyzed?.metadata ?? noMetadata,
    cache: cached,
    standing: (directory) => standingLayers(layers, directory),
  });
  await restoreLayers(
    {
      layers,
      layersDir: inputs.layersDir,
      umask,
      cache,
      sbom: cached.sbom,
      restoresSboms: inputs.platformApi >= 8,
      skipLayers: inputs.skipLayers,
      workers: new Workers({
        blob: new URL("./lib/blob-thread.ts", import.meta.url),
        layer: new URL("./lib/layer-thread.ts", import.meta.url),
      }),
      progress,
      log,
      signal,
    },
    plan,
    report,
  );

  report.seconds = (performance.now() - began) / 1000;
  summarize(report, log);
  if (inputs.reportPath !== undefined) writeReport(inputs.reportPath, report);
  if (inputs.strict && report.troubles.length > 0) throw cacheTrouble(report.troubles.join("; "));
}

/** A registry client with the credentials of all registries in use; they are read now, with the privileges there are. */
async function openRegistry(
  { inputs, env, log, signal }: Session,
  images: readonly string[],
): Promise<Registry | undefined> {
  if (images.length === 0) return undefined;
  // Loaded only when needed: it takes longer than a restore from a small volume cache.
  const { connect } = await import("./lib/connect.ts");
  return connect(images, { env, insecureRegistries: inputs.insecureRegistries, log, signal });
}

async function openCache({ inputs, log }: Session, registry: Registry | undefined): Promise<Cache | undefined> {
  if (inputs.cacheImage !== undefined && registry !== undefined) {
    if (inputs.cacheDir !== undefined) log.warn("Both a cache image and a cache directory are given, using the image.");
    const { ImageCache } = await import("./lib/image-cache.ts");
    return new ImageCache(inputs.cacheImage, registry, log);
  }
  if (inputs.cacheDir !== undefined) return new VolumeCache(inputs.cacheDir);
  log.warn("No cached data will be used, no cache specified.");
  return undefined;
}

/** What the cache holds. Trouble with it costs the cache, not the run (D5), unless the run is strict. */
async function readCache(cache: Cache | undefined, inputs: Inputs, report: Report, log: Log): Promise<ImageMetadata> {
  if (cache === undefined || inputs.skipLayers) return noMetadata;
  try {
    const metadata = await cache.metadata();
    if (metadata === undefined) log.info("Layer cache not found");
    return metadata ?? noMetadata;
  } catch (error) {
    if (!(error instanceof CacheError)) throw error;
    if (inputs.strict) throw cacheTrouble(error.message);
    report.troubles.push(error.message);
    log.warn(`Not using the cache: ${error.message}`);
    return noMetadata;
  }
}

function cacheTrouble(what: string): RestorerError {
  return new RestorerError(`restore from the cache: ${what}`, {
    exitCode: ExitCode.restore,
    hint: "Without -strict, the build goes on without what could not be restored.",
  });
}

await runSession(restore);
