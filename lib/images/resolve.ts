import { describe } from "../errors.ts";
import { digestReference, parseReference } from "../oci/reference.ts";
import type { Registry } from "../registry/registry.ts";
import type { Session } from "../session.ts";
import { quote } from "../text.ts";
import type { ImageMetadata } from "../toml/metadata.ts";
import type { TomlTable } from "../toml/values.ts";
import { Deadline, orAbort } from "../waiting.ts";
import { readAppMetadata } from "./app-image.ts";
import { askDaemon } from "./daemon.ts";
import { imageFailure } from "./failure.ts";
import { type Kaniko, openKaniko } from "./kaniko.ts";
import type { BaseConfig } from "./known-image.ts";
import { readableMirror } from "./mirrors.ts";
import { type Completion, daemonImages, type ImagesPlan, type RunImagePlan } from "./plan.ts";
import { type RunImageFacts, recordBuildImage, recordRunImage } from "./record.ts";
import { digestNamedBy } from "./run-image-names.ts";
import { type ImageSources, readImage, theRegistry } from "./source.ts";

/** The images of a run, opened as far as privileges are needed for it. */
export interface Images {
  /**
   * Carries out what is planned about build and run image (contract §5, 1 to 4): saves those to be extended, and returns
   * analyzed.toml's new content, or undefined when nothing in it changes. Throws RestorerErrors (exit 1) that name the
   * image and tell why it cannot be used.
   */
  resolve(): Promise<TomlTable | undefined>;
  /** What was done so far. */
  readonly done: ImagesDone;
  /** Layer metadata of the app image, where that stands in for analyzed.toml. */
  appMetadata(): Promise<ImageMetadata | undefined>;
}

/** What was done about an image. */
interface ImageDone {
  /** The name by which it was read. */
  readonly image: string;
  readonly action: "saved" | "recorded" | "checked";
  /** What analyzed.toml has for it now; absent where that stays as it is. */
  readonly reference?: string;
}

/** What was done about images; undefined for nothing. */
export interface ImagesDone {
  build: ImageDone | undefined;
  run: ImageDone | undefined;
}

type Run = Pick<Session, "inputs" | "env" | "log" | "signal" | "umask">;

/** How long a look at a run image may take that no phase asks for, in milliseconds. */
const completionMs = 5_000;

interface Context extends Run {
  readonly plan: ImagesPlan;
  readonly sources: ImageSources;
  readonly kaniko: Kaniko;
  readonly lookMs: number;
  readonly done: ImagesDone;
}

/**
 * Prepares for what is planned while there still are privileges: a daemon is asked now. `registry` must be there if
 * `imagesInUse` has names; `lookMs` is how long a look may take that no phase asks for. Throws nothing but the signal's
 * reason.
 */
export async function openImages(
  plan: ImagesPlan,
  run: Run,
  registry: Registry | undefined,
  lookMs = completionMs,
): Promise<Images> {
  const { kanikoDir, layoutDir } = run.inputs;
  const patience = plan.runImage?.completion === undefined ? {} : { timeoutMs: lookMs };
  const sources = { registry, layoutDir, daemon: await askDaemon(daemonImages(plan), { ...run, ...patience }) };
  const context = {
    ...run,
    plan,
    sources,
    kaniko: openKaniko({ ...run, kanikoDir, layersDir: run.inputs.layersDir }),
    lookMs,
    done: { build: undefined, run: undefined },
  };
  return {
    done: context.done,
    resolve: () => resolveImages(context),
    async appMetadata() {
      if (plan.appImage === undefined) return undefined;
      const read = (name: string) => readImage(plan.source, name, sources);
      return readAppMetadata(plan.appImage, read, run.log, run.signal);
    },
  };
}

async function resolveImages(context: Context): Promise<TomlTable | undefined> {
  const { analyzed, buildImage, runImage } = context.plan;
  let table = analyzed.table;
  if (buildImage !== undefined) {
    const { reference } = await save("build image", buildImage, context);
    table = recordBuildImage(table, reference);
    context.done.build = { image: buildImage, action: "saved", reference };
  }
  if (runImage !== undefined) {
    const facts = await resolveRunImage(runImage, context);
    table = recordRunImage(table, facts);
    const { image = runImage.selected, reference } = facts;
    const action = runImage.action === "save" ? "saved" : reference === undefined ? "checked" : "recorded";
    context.done.run = { image, action, ...(reference === undefined ? {} : { reference }) };
  }
  return Bun.deepEquals(table, analyzed.table, true) ? undefined : table;
}

async function resolveRunImage(plan: RunImagePlan, context: Context): Promise<RunImageFacts> {
  const { source, analyzed } = context.plan;
  const taken = plan.mirrors && (await readableMirror(plan.selected, plan.mirrors, context));
  const name = taken ?? plan.selected;
  const image = taken === undefined ? {} : { image: taken };
  const target = async (config: () => Promise<BaseConfig>) => (plan.target ? { target: await config() } : {});
  if (plan.action === "save") {
    const { reference, config } = await save("run image", name, context);
    return { ...image, reference, ...(await target(config)) };
  }
  const { completion } = plan;
  if (plan.action === "keep" && taken === undefined) return completion ? complete(completion, context) : {};
  return naming(`read run image ${quote(name)}`, context, async () => {
    const { reference, config } = await readImage(source, name, context.sources);
    const known = analyzed.runImage?.reference ?? "";
    const isSame = plan.action === "keep" && digestNamedBy(reference) === digestNamedBy(known);
    if (!isSame) return { ...image, reference, ...(await target(config)) };
    // The target is that of the image known before; one that is missing is as little worth a run as anywhere (D19).
    const missing =
      completion?.target === true ? await complete({ name, reference: false, target: true }, context) : {};
    return { ...image, reference, ...missing };
  });
}

/** Fills in what is missing in analyzed.toml, if one look at the image tells it in time (D19). */
async function complete(completion: Completion, context: Context): Promise<RunImageFacts> {
  const { plan, sources, log, signal, lookMs } = context;
  const { name } = completion;
  using deadline = new Deadline(lookMs, new Error(`no answer within ${lookMs / 1000} s`), signal);
  const registry = sources.registry?.endingWith(deadline.signal);
  const look = async (): Promise<RunImageFacts> => {
    const image = await readImage(plan.source, name, { ...sources, registry });
    const target = completion.target ? { target: await image.config() } : {};
    return { ...(completion.reference ? { reference: image.reference } : {}), ...target };
  };
  try {
    return await orAbort(look(), deadline.signal);
  } catch (error) {
    signal.throwIfAborted();
    log.warn(`Not recording ${missingOf(completion)} of run image ${quote(name)}: ${describe(error)}`, "run-image");
    return {};
  }
}

function missingOf({ reference, target }: Completion): string {
  return reference && target ? "digest and target" : reference ? "the digest" : "the target";
}

/** Saves an image for kaniko. */
async function save(
  role: string,
  name: string,
  context: Context,
): Promise<{ reference: string; config: () => Promise<BaseConfig> }> {
  const registry = theRegistry(context.sources);
  return naming(`save ${role} ${quote(name)} for its extension`, context, async () => {
    const image = await registry.image(parseReference(name));
    await context.kaniko.save(image, registry);
    return {
      reference: digestReference(image.reference, image.descriptor.digest),
      config: async () => (await registry.config(image)).config,
    };
  });
}

async function naming<T>(what: string, { signal }: Context, run: () => Promise<T>): Promise<T> {
  try {
    return await run();
  } catch (error) {
    signal.throwIfAborted();
    throw imageFailure(`cannot ${what}: ${describe(error)}`, error);
  }
}
