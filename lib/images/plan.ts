import type { Inputs } from "../cli/inputs.ts";
import { platformHas } from "../platform-api.ts";
import type { Analyzed, RunImage } from "../toml/analyzed.ts";
import type { OfferedImage } from "../toml/run-toml.ts";
import { digestNamedBy, otherNames } from "./run-image-names.ts";

/** Where images are that are only looked at. What is saved for kaniko comes from a registry in any case. */
export type Source = "registry" | "daemon" | "layout";

/** What is done about the run image. */
export interface RunImagePlan {
  /** The name that the analyzer selected. */
  readonly selected: string;
  /** Names to try should the selected one not be readable; undefined when nobody checks. */
  readonly mirrors: readonly string[] | undefined;
  /** Save it and record digest and target, only record them, or neither. */
  readonly action: "save" | "record" | "keep";
  /** Whether the target is recorded, too. */
  readonly target: boolean;
  /** What is missing in analyzed.toml though no phase asks for it; undefined for nothing (D19). */
  readonly completion: Completion | undefined;
}

/** What is filled in if it can be, from one look at an image; failing costs a warning. */
export interface Completion {
  readonly name: string;
  readonly reference: boolean;
  readonly target: boolean;
}

/** Which images a run has to do with, and how (contract §5). */
export interface ImagesPlan {
  readonly analyzed: Analyzed;
  readonly source: Source;
  /** To be saved and recorded. */
  readonly buildImage: string | undefined;
  readonly runImage: RunImagePlan | undefined;
  /** Whose layer metadata stands in for a missing analyzed.toml. */
  readonly appImage: string | undefined;
}

/** What `planImages` decides from. */
export interface PlanOptions {
  readonly inputs: Pick<Inputs, "platformApi" | "buildImage" | "appImage" | "daemon" | "layout">;
  readonly hasExtensions: boolean;
  /** Undefined when it cannot be used: then nothing is done about images. */
  readonly analyzed: Analyzed | undefined;
  readonly runToml: readonly OfferedImage[];
}

/** Decides what is done about images, undefined for nothing; reads nothing. */
export function planImages(options: PlanOptions): ImagesPlan | undefined {
  const { inputs, analyzed } = options;
  if (analyzed === undefined) return undefined;
  const { platformApi, daemon, layout } = inputs;
  const source = layout ? "layout" : daemon ? "daemon" : "registry";
  const buildImage = platformHas(platformApi, "build-image") ? inputs.buildImage : undefined;
  const runImage = planRunImage(options, source, analyzed.runImage);
  const appImage = analyzed.exists ? undefined : inputs.appImage;
  if ((buildImage ?? runImage ?? appImage) === undefined) return undefined;
  return { analyzed, source, buildImage, runImage, appImage };
}

function planRunImage(
  { inputs: { platformApi }, hasExtensions, runToml }: PlanOptions,
  source: Source,
  runImage: RunImage | undefined,
): RunImagePlan | undefined {
  if (runImage === undefined) return undefined;
  const selected = runImage.image || runImage.reference;
  const checks = platformHas(platformApi, "run-toml") && source === "registry";
  const mirrors = checks ? otherNames(runToml, selected) : undefined;
  const extend = runImage.extend && platformHas(platformApi, "extend-run-image") && source !== "layout";
  const record = hasExtensions && runImage.targetOs === "" && platformHas(platformApi, "run-image-digest");
  const action = extend ? "save" : record ? "record" : "keep";
  const target = platformHas(platformApi, "run-image-target");
  const completion = action === "keep" && target ? planCompletion(selected, source, runImage) : undefined;
  if (action === "keep" && mirrors === undefined && completion === undefined) return undefined;
  return { selected, mirrors, action, target, completion };
}

/** D19: the target where it is missing, and the digest reference of an image of a registry. */
function planCompletion(selected: string, source: Source, { reference, targetOs }: RunImage): Completion | undefined {
  const isByDigest = digestNamedBy(reference) !== undefined;
  const missing = { reference: source === "registry" && !isByDigest, target: targetOs === "" };
  if (selected === "" || !(missing.reference || missing.target)) return undefined;
  return { name: source === "registry" && isByDigest ? reference : selected, ...missing };
}

/** The references that registries will be asked for, those of caches included. */
export function imagesInUse(caches: readonly string[], plan: ImagesPlan | undefined): readonly string[] {
  const { source, buildImage, runImage, appImage } = plan ?? {};
  const asksForRunImage = source === "registry" || runImage?.action === "save";
  const names = [
    ...caches,
    buildImage,
    asksForRunImage ? runImage?.selected : undefined,
    source === "registry" ? runImage?.completion?.name : undefined,
    ...(runImage?.mirrors ?? []),
    source === "registry" ? appImage : undefined,
  ];
  const inUse = new Set<string>();
  for (const name of names) if (name !== undefined) inUse.add(name);
  return [...inUse];
}

/** The images that the daemon will be asked for. */
export function daemonImages({ source, runImage, appImage }: ImagesPlan): readonly string[] {
  if (source !== "daemon") return [];
  const recorded = runImage?.action === "record" ? runImage.selected : runImage?.completion?.name;
  return [recorded, appImage].filter((name) => name !== undefined);
}
