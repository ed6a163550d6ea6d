import { ExitCode, RestorerError } from "../failures.ts";
import { quote } from "../text.ts";

/** A flag of the command line (contract §1): `since` is the Platform API minor version that introduced it. */
export interface Flag {
  readonly name: string;
  readonly kind: "text" | "boolean" | "list" | "id";
  readonly section: "Inputs" | "Cache" | "Images" | "User" | "Output" | "Other";
  readonly value?: string;
  readonly since?: number;
  readonly environment?: readonly string[];
  readonly fallback?: string;
  readonly describe: string;
}

export const flags: readonly Flag[] = [
  {
    name: "layers",
    kind: "text",
    section: "Inputs",
    value: "PATH",
    environment: ["CNB_LAYERS_DIR"],
    fallback: "/layers",
    describe: "layers directory, where everything is restored",
  },
  {
    name: "group",
    kind: "text",
    section: "Inputs",
    value: "PATH",
    environment: ["CNB_GROUP_PATH"],
    fallback: "<layers>/group.toml",
    describe: "the buildpacks of this build, as the detector wrote them",
  },
  {
    name: "analyzed",
    kind: "text",
    section: "Inputs",
    value: "PATH",
    environment: ["CNB_ANALYZED_PATH"],
    fallback: "<layers>/analyzed.toml",
    describe: "what the analyzer found; completed here with image digests",
  },
  {
    name: "image",
    kind: "text",
    section: "Inputs",
    value: "REF",
    describe: "when <analyzed> is absent: the app image to read layer metadata from",
  },
  {
    name: "skip-layers",
    kind: "boolean",
    section: "Inputs",
    environment: ["CNB_SKIP_LAYERS", "CNB_SKIP_RESTORE"],
    describe: "restore store.toml only, touch no layer",
  },
  {
    name: "generated",
    kind: "text",
    section: "Inputs",
    value: "PATH",
    since: 12,
    environment: ["CNB_GENERATED_DIR"],
    fallback: "<layers>/generated",
    describe: "accepted, unused",
  },
  {
    name: "platform",
    kind: "text",
    section: "Inputs",
    value: "PATH",
    environment: ["CNB_PLATFORM_DIR"],
    describe: "accepted, unused",
  },
  {
    name: "cache-dir",
    kind: "text",
    section: "Cache",
    value: "PATH",
    environment: ["CNB_CACHE_DIR"],
    describe: "directory of a volume cache; only ever read",
  },
  {
    name: "cache-volume",
    kind: "text",
    section: "Cache",
    value: "PATH",
    describe: "another name for -cache-dir; not together with -cache-image",
  },
  {
    name: "cache-image",
    kind: "text",
    section: "Cache",
    value: "REF",
    environment: ["CNB_CACHE_IMAGE"],
    describe: "cache image in a registry; wins over -cache-dir",
  },
  {
    name: "strict",
    kind: "boolean",
    section: "Cache",
    environment: ["CNB_RESTORE_STRICT"],
    describe: "fail with exit code 42 on cache trouble, instead of building without it",
  },
  {
    name: "build-image",
    kind: "text",
    section: "Images",
    value: "REF",
    since: 10,
    environment: ["CNB_BUILD_IMAGE"],
    describe: "build image to save for the extender",
  },
  {
    name: "run",
    kind: "text",
    section: "Images",
    value: "PATH",
    since: 14,
    environment: ["CNB_RUN_PATH"],
    fallback: "/cnb/run.toml",
    describe: "run images and their mirrors",
  },
  {
    name: "kaniko-dir",
    kind: "text",
    section: "Images",
    value: "PATH",
    environment: ["CNB_KANIKO_DIR"],
    fallback: "/kaniko",
    describe: "where images are saved for the extender",
  },
  {
    name: "daemon",
    kind: "boolean",
    section: "Images",
    since: 12,
    environment: ["CNB_USE_DAEMON"],
    describe: "read the run image from the Docker daemon",
  },
  {
    name: "layout",
    kind: "boolean",
    section: "Images",
    since: 12,
    environment: ["CNB_USE_LAYOUT"],
    describe: "read the run image from an OCI layout on disk",
  },
  {
    name: "layout-dir",
    kind: "text",
    section: "Images",
    value: "PATH",
    since: 12,
    environment: ["CNB_LAYOUT_DIR"],
    describe: "where OCI layouts lie",
  },
  {
    name: "insecure-registry",
    kind: "list",
    section: "Images",
    value: "HOST",
    since: 13,
    environment: ["CNB_INSECURE_REGISTRIES"],
    describe: "registry to speak plain http or unverified https with; may repeat",
  },
  {
    name: "uid",
    kind: "id",
    section: "User",
    value: "N",
    environment: ["CNB_USER_ID"],
    fallback: "current user",
    describe: "user that owns what is written",
  },
  {
    name: "gid",
    kind: "id",
    section: "User",
    value: "N",
    environment: ["CNB_GROUP_ID"],
    fallback: "current group",
    describe: "group that owns what is written",
  },
  {
    name: "log-level",
    kind: "text",
    section: "Output",
    value: "LEVEL",
    environment: ["CNB_LOG_LEVEL"],
    fallback: "info",
    describe: "debug, info, warn or error",
  },
  {
    name: "no-color",
    kind: "boolean",
    section: "Output",
    environment: ["CNB_NO_COLOR", "NO_COLOR"],
    describe: "no colour, also on a terminal",
  },
  {
    name: "report",
    kind: "text",
    section: "Output",
    value: "PATH",
    environment: ["CNB_RESTORE_REPORT"],
    describe: "write what happened to each layer as JSON",
  },
  { name: "version", kind: "boolean", section: "Other", describe: "print the version and exit" },
  { name: "help", kind: "boolean", section: "Other", describe: "print this help and exit" },
];

/** What the command line gave: a flag's last value, or all values of a list. */
export interface Arguments {
  readonly text: ReadonlyMap<string, string>;
  readonly lists: ReadonlyMap<string, readonly string[]>;
  readonly booleans: ReadonlyMap<string, boolean>;
}

/**
 * Reads arguments by the rules of Go's `flag` package: `-name value`, `-name=value`, `--name`; booleans only with `=`;
 * flags end at the first positional argument or at `--`. Flags newer than Platform API 0.`minor` are unknown.
 * Throws a RestorerError with exit code 3.
 */
export function parseArguments(argv: readonly string[], minor: number): Arguments {
  const text = new Map<string, string>();
  const lists = new Map<string, string[]>();
  const booleans = new Map<string, boolean>();

  for (let i = 0; i < argv.length; i++) {
    const argument = argv[i] ?? "";
    if (argument === "--" && i + 1 === argv.length) break;
    const match = /^--?([^-=][^=]*)(?:=([\s\S]*))?$/.exec(argument);
    if (match === null) throw notAFlag(argument === "--" ? (argv[i + 1] ?? "") : argument, argument !== "--");
    const [, name = "", inline] = match;
    const flag = flags.find((candidate) => candidate.name === name || (name === "h" && candidate.name === "help"));
    if (flag === undefined) throw invalid(`unknown flag -${name}${suggestion(name, minor)}`);
    if ((flag.since ?? 0) > minor) {
      throw invalid(`unknown flag -${name}: it exists since Platform API 0.${flag.since}, this is 0.${minor}`);
    }
    if (flag.kind === "boolean") {
      const value = inline === undefined ? true : parseBoolean(inline);
      if (value === undefined) throw invalid(`-${name}=${inline}: ${quote(inline ?? "")} is neither true nor false`);
      booleans.set(flag.name, value);
      continue;
    }
    const value = inline ?? argv[++i];
    if (value === undefined) throw invalid(`-${name} needs a value`);
    if (flag.kind === "list") lists.set(name, [...(lists.get(name) ?? []), value]);
    else text.set(name, value);
  }
  return { text, lists, booleans };
}

/** Flags that begin like a name nobody knows, as a question. */
function suggestion(name: string, minor: number): string {
  const plain = (text: string) => text.replace(/[-_]/g, "").toLowerCase();
  const start = plain(name).slice(0, 4);
  const similar = flags.filter((flag) => plain(flag.name).startsWith(start) && (flag.since ?? 0) <= minor);
  return similar.length === 0 ? "" : `, did you mean ${similar.map((flag) => `-${flag.name}`).join(" or ")}?`;
}

/** Go's strconv.ParseBool: 1, t, T, TRUE, true, True, and the same of false; anything else is undefined. */
export function parseBoolean(text: string): boolean | undefined {
  if (/^(1|t|T|TRUE|true|True)$/.test(text)) return true;
  if (/^(0|f|F|FALSE|false|False)$/.test(text)) return false;
  return undefined;
}

/** A user or group id as Go's flag package reads integers: decimal, 0x…, 0o… or 0…, 0b…, `_` between digits. */
export function parseId(text: string): number | undefined {
  const match =
    /^\+?(0[xX]_?[0-9a-fA-F]+(?:_[0-9a-fA-F]+)*|0[bB]_?[01]+(?:_[01]+)*|0[oO]?_?[0-7]+(?:_[0-7]+)*|0|[1-9][0-9]*(?:_[0-9]+)*)$/.exec(
      text,
    );
  const digits = match?.[1]?.replaceAll("_", "");
  if (digits === undefined) return undefined;
  const id = Number(/^0[0-7]/.test(digits) ? `0o${digits.slice(1)}` : digits);
  return id <= maxId ? id : undefined;
}

/** (uid_t)-1 means "leave as it is" to the kernel, so it is no id. */
const maxId = 4294967294;

/** An error of the command line: exit code 3 and a hint at -help. */
export function invalid(message: string): RestorerError {
  return new RestorerError(message, {
    exitCode: ExitCode.invalidArguments,
    hint: "Usage: restorer [-layers PATH] [-cache-dir PATH | -cache-image REF] [flag]…; see restorer -help",
  });
}

function notAFlag(argument: string, checkSyntax: boolean): RestorerError {
  if (checkSyntax && argument.startsWith("-") && argument !== "-") return invalid(`bad flag syntax ${quote(argument)}`);
  return invalid(`received unexpected Args: ${quote(argument)} is not a flag`);
}
