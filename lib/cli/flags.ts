import type { PlatformFeature } from "../platform-api.ts";

/** A flag of the command line (contract §1): the one place for its name, its variables, its default and what it means. */
export interface Flag {
  readonly name: string;
  readonly kind: "text" | "boolean" | "list" | "id";
  readonly section: "Inputs" | "Cache" | "Images" | "User" | "Output" | "Other";
  /** What stands for the value in help. */
  readonly value?: string;
  /** The feature that it came with; older Platform APIs do not know the flag. */
  readonly since?: PlatformFeature;
  /** Environment variables that stand in for it. Of a boolean any may be true, of others there is one. */
  readonly variables?: readonly string[];
  /** A variable that is neither true nor false ends the run: of a safety switch nobody may guess what was meant. */
  readonly isSafetySwitch?: boolean;
  /** A variable that means true when it is set to anything at all (no-color.org). */
  readonly anyValueOf?: string;
  /** `<layers>` stands for the layers directory. */
  readonly default?: string;
  readonly description: string;
}

const table = [
  {
    name: "layers",
    kind: "text",
    section: "Inputs",
    value: "PATH",
    variables: ["CNB_LAYERS_DIR"],
    default: "/layers",
    description: "layers directory, where everything is restored",
  },
  {
    name: "group",
    kind: "text",
    section: "Inputs",
    value: "PATH",
    variables: ["CNB_GROUP_PATH"],
    default: "<layers>/group.toml",
    description: "the buildpacks of this build, as the detector wrote them",
  },
  {
    name: "analyzed",
    kind: "text",
    section: "Inputs",
    value: "PATH",
    variables: ["CNB_ANALYZED_PATH"],
    default: "<layers>/analyzed.toml",
    description: "what the analyzer found; completed here with image digests",
  },
  {
    name: "image",
    kind: "text",
    section: "Inputs",
    value: "REF",
    description: "app image to read layer metadata from when there is no <analyzed>",
  },
  {
    name: "skip-layers",
    kind: "boolean",
    section: "Inputs",
    variables: ["CNB_SKIP_LAYERS", "CNB_SKIP_RESTORE"],
    description: "restore store.toml only, touch no layer",
  },
  {
    name: "generated",
    kind: "text",
    section: "Inputs",
    value: "PATH",
    since: "generated",
    variables: ["CNB_GENERATED_DIR"],
    default: "<layers>/generated",
    description: "accepted, unused",
  },
  {
    name: "platform",
    kind: "text",
    section: "Inputs",
    value: "PATH",
    variables: ["CNB_PLATFORM_DIR"],
    description: "accepted, unused",
  },
  {
    name: "cache-dir",
    kind: "text",
    section: "Cache",
    value: "PATH",
    variables: ["CNB_CACHE_DIR"],
    description: "directory of a volume cache; only ever read",
  },
  {
    name: "cache-volume",
    kind: "text",
    section: "Cache",
    value: "PATH",
    description: "another name for -cache-dir; not together with -cache-image",
  },
  {
    name: "cache-image",
    kind: "text",
    section: "Cache",
    value: "REF",
    variables: ["CNB_CACHE_IMAGE"],
    description: "cache image in a registry; wins over -cache-dir",
  },
  {
    name: "strict",
    kind: "boolean",
    section: "Cache",
    variables: ["CNB_RESTORE_STRICT"],
    isSafetySwitch: true,
    description: "fail with exit code 42 on cache trouble, instead of building without it",
  },
  {
    name: "build-image",
    kind: "text",
    section: "Images",
    value: "REF",
    since: "build-image",
    variables: ["CNB_BUILD_IMAGE"],
    description: "build image to save for the extender",
  },
  {
    name: "run",
    kind: "text",
    section: "Images",
    value: "PATH",
    since: "run-toml",
    variables: ["CNB_RUN_PATH"],
    default: "/cnb/run.toml",
    description: "run images and their mirrors",
  },
  {
    name: "kaniko-dir",
    kind: "text",
    section: "Images",
    value: "PATH",
    variables: ["CNB_KANIKO_DIR"],
    default: "/kaniko",
    description: "where images are saved for the extender",
  },
  {
    name: "daemon",
    kind: "boolean",
    section: "Images",
    since: "daemon",
    variables: ["CNB_USE_DAEMON"],
    description: "read the run image from the Docker daemon",
  },
  {
    name: "layout",
    kind: "boolean",
    section: "Images",
    since: "layout",
    variables: ["CNB_USE_LAYOUT"],
    description: "read the run image from an OCI layout on disk",
  },
  {
    name: "layout-dir",
    kind: "text",
    section: "Images",
    value: "PATH",
    since: "layout",
    variables: ["CNB_LAYOUT_DIR"],
    description: "directory of OCI layouts",
  },
  {
    name: "insecure-registry",
    kind: "list",
    section: "Images",
    value: "HOST",
    since: "insecure-registries",
    variables: ["CNB_INSECURE_REGISTRIES"],
    description: "registry to speak plain http or unverified https with; may repeat, the variable has a comma list",
  },
  {
    name: "uid",
    kind: "id",
    section: "User",
    value: "N",
    variables: ["CNB_USER_ID"],
    description: "user to run as and to own what is written, instead of the current one",
  },
  {
    name: "gid",
    kind: "id",
    section: "User",
    value: "N",
    variables: ["CNB_GROUP_ID"],
    description: "group to run as and to own what is written, instead of the current one",
  },
  {
    name: "log-level",
    kind: "text",
    section: "Output",
    value: "LEVEL",
    variables: ["CNB_LOG_LEVEL"],
    default: "info",
    description: "debug, info, warn or error",
  },
  {
    name: "no-color",
    kind: "boolean",
    section: "Output",
    variables: ["CNB_NO_COLOR"],
    anyValueOf: "NO_COLOR",
    description: "no colour, also on a terminal",
  },
  {
    name: "report",
    kind: "text",
    section: "Output",
    value: "PATH",
    variables: ["CNB_RESTORE_REPORT"],
    description: "write what happened to each layer as JSON; - is stdout, and the log goes to stderr",
  },
  { name: "version", kind: "boolean", section: "Other", description: "print the version and exit" },
  { name: "help", kind: "boolean", section: "Other", description: "print this help and exit" },
] as const satisfies readonly Flag[];

type Entry = (typeof table)[number];

/** Names of the flags of a kind, and of those that have a default. */
export type FlagName<Kind extends Flag["kind"]> = Extract<Entry, { kind: Kind }>["name"];
export type DefaultedFlag = Extract<Entry, { default: string }>["name"];

export const flags: readonly Flag[] = table;

const byName: ReadonlyMap<string, Flag> = new Map(flags.map((flag) => [flag.name, flag]));

/** The flag of that name, or undefined. */
export function flagNamed(name: string): Flag | undefined {
  return byName.get(name);
}

/** All variables that stand in for a flag. */
export function variablesOf({ variables = [], anyValueOf }: Flag): readonly string[] {
  return anyValueOf === undefined ? variables : [...variables, anyValueOf];
}
