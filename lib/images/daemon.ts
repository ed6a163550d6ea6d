import * as v from "valibot";
import type { Environment } from "../environment.ts";
import { describe, errorCode, hasCode } from "../errors.ts";
import { RestorerError } from "../failures.ts";
import { optionalText, optionalTexts } from "../lenient.ts";
import type { Log } from "../log.ts";
import { dockerHub, parseReference } from "../oci/reference.ts";
import { quote } from "../text.ts";
import { judgeJson, parseIfJson, parseIfObject } from "../toml/json.ts";
import type { KnownImage } from "./known-image.ts";

/** Bytes an answer may have: an inspected image is a few KiB, long labels included. */
const answerBytes = 16 * 1024 * 1024;
const defaultTimeoutMs = 30_000;

/** An image that the daemon does not have, or a daemon that cannot be asked. */
class DaemonError extends RestorerError {
  readonly notFound: boolean;

  constructor(
    message: string,
    { notFound = false, ...options }: { notFound?: boolean; cause?: unknown; hint: string },
  ) {
    super(message, options);
    this.notFound = notFound;
  }
}

/** What a daemon told ahead of time about the images it was asked for. */
export interface Daemon {
  /** Throws a DaemonError. */
  image(name: string): Promise<KnownImage>;
}

/** What asking a daemon takes. */
interface DaemonOptions {
  readonly env: Environment;
  readonly log: Log;
  readonly signal: AbortSignal;
  readonly timeoutMs?: number;
}

/**
 * Asks a Docker daemon (or podman, over the same API) for images, all of them now: its socket is often root's, every request
 * may need a new connection, and privileges are dropped next. What goes wrong is thrown by `image`, or never.
 */
export async function askDaemon(names: readonly string[], options: DaemonOptions): Promise<Daemon> {
  const asked = new Map(names.map((name) => [name, inspect(name, options)]));
  await Promise.allSettled(asked.values());
  options.signal.throwIfAborted();
  return {
    async image(name) {
      const answer = asked.get(name);
      if (answer === undefined) throw new Error(`the daemon was not asked for ${quote(name)} ahead`);
      return answer;
    },
  };
}

async function inspect(name: string, options: DaemonOptions): Promise<KnownImage> {
  const host = options.env["DOCKER_HOST"] || "unix:///var/run/docker.sock";
  const address = addressOf(host);
  for (const spelling of spellings(name)) {
    const answer = await get(`/images/${spelling}/json`, host, address, options);
    if (answer.status === 200) return parseImage(host, name, answer.text);
    if (answer.status !== 404) throw refused(host, name, answer);
  }
  throw new DaemonError(`the daemon at ${quote(host)} has no image ${quote(name)}`, {
    notFound: true,
    hint: "Pull it first; the restorer does not.",
  });
}

interface DaemonAddress {
  readonly base: string;
  readonly unix?: string;
}

/** What DOCKER_HOST says. */
function addressOf(host: string): DaemonAddress {
  const unix = /^unix:\/\/(\/.+)$/.exec(host)?.[1];
  if (unix !== undefined) return { base: "http://localhost", unix };
  const tcp = /^(?:tcp|http):\/\/([^/]+)\/?$/.exec(host)?.[1];
  if (tcp !== undefined && URL.canParse(`http://${tcp}`)) return { base: `http://${tcp}` };
  throw new DaemonError(`cannot connect to the daemon at DOCKER_HOST=${quote(host)}`, {
    hint: "Only unix:///path/to/socket and tcp://host:port (without TLS) are supported.",
  });
}

/** How a daemon may call an image: podman knows Docker Hub by its short name only. */
function spellings(name: string): readonly string[] {
  // Dots that are resolved away in a URL would make it another request.
  if (!/^[\w.:/@-]+$/.test(name) || name.split("/").some((part) => /^\.*$/.test(part))) {
    throw new RestorerError(`invalid image name ${quote(name)}`);
  }
  if (/^(sha256:)?[0-9a-f]{12,64}$/.test(name)) return [name];
  const { registry, repository, tag, digest } = parseReference(name);
  if (registry !== dockerHub) return [name];
  const canonical = `docker.io/${repository}${digest === undefined ? `:${tag}` : `@${digest}`}`;
  return canonical === name ? [name] : [name, canonical];
}

interface Answer {
  readonly status: number;
  readonly text: string;
}

async function get(path: string, host: string, { base, unix }: DaemonAddress, options: DaemonOptions): Promise<Answer> {
  const { signal, timeoutMs = defaultTimeoutMs } = options;
  const timeout = AbortSignal.timeout(timeoutMs);
  try {
    const response = await fetch(base + path, {
      signal: AbortSignal.any([signal, timeout]),
      redirect: "manual",
      proxy: false,
      ...(unix === undefined ? {} : { unix }),
    });
    const text = await readText(response);
    options.log.debug(`GET ${path} of ${host}: ${response.status}`);
    return { status: response.status, text };
  } catch (error) {
    signal.throwIfAborted();
    const why = timeout.aborted ? `no answer within ${timeoutMs / 1000} s` : explain(error);
    throw new DaemonError(`cannot ask the daemon at ${quote(host)}: ${why}`, { hint: hintFor(error) });
  }
}

async function readText(response: Response): Promise<string> {
  const decoder = new TextDecoder();
  let text = "";
  let size = 0;
  for await (const chunk of response.body ?? []) {
    size += chunk.length;
    if (size > answerBytes) throw new Error(`the answer is larger than ${answerBytes} bytes`);
    text += decoder.decode(chunk, { stream: true });
  }
  return text + decoder.decode();
}

function explain(error: unknown): string {
  switch (errorCode(error)) {
    case "ENOENT":
      return "there is no such socket";
    case "EACCES":
      return "permission denied";
    case "ECONNREFUSED":
      return "connection refused";
    default:
      return describe(error);
  }
}

function hintFor(error: unknown): string {
  if (hasCode(error, "EACCES"))
    return "Run the restorer as root (with -uid and -gid), or let its user read and write the socket.";
  return "Check that the daemon runs, that its socket is mounted, and that DOCKER_HOST names it.";
}

const refusalSchema = v.object({ message: v.pipe(v.string(), v.minLength(1)) });

function refused(host: string, name: string, { status, text }: Answer): DaemonError {
  const parsed = v.safeParse(refusalSchema, parseIfJson(text));
  const said = parsed.success ? `: ${quote(parsed.output.message.slice(0, 300))}` : "";
  return new DaemonError(
    `the daemon at ${quote(host)} answered ${status} when asked for the image ${quote(name)}${said}`,
    {
      hint: "Its own log may tell more.",
    },
  );
}

const imageSchema = v.object({
  /** Only an image that is to be extended needs it. */
  Id: v.fallback(v.pipe(v.string(), v.regex(/^(sha256:)?[0-9a-f]{64}$/)), ""),
  Os: optionalText,
  Architecture: optionalText,
  Variant: optionalText,
  Config: v.fallback(v.object({ Labels: v.fallback(optionalTexts, []) }), { Labels: [] }),
});

function parseImage(host: string, name: string, body: string): KnownImage {
  const description = `the daemon at ${quote(host)} gives a description of the image ${quote(name)} that`;
  const hint = "Check that DOCKER_HOST names a Docker or podman daemon.";
  try {
    judgeJson(Buffer.from(body));
  } catch (cause) {
    throw new DaemonError(`${description} ${describe(cause)}`, { cause, hint: "Look at its labels." });
  }
  const parsed = v.safeParse(imageSchema, parseIfObject(body));
  if (!parsed.success) throw new DaemonError(`${description} is not a JSON object`, { hint });
  const { Id, Os, Architecture, Variant, Config } = parsed.output;
  if (Id === "" && Os === "") throw new DaemonError(`${description} has neither an "Id" nor an "Os"`, { hint });
  const config = { os: Os, architecture: Architecture, variant: Variant, labels: new Map(Config.Labels) };
  return {
    get reference() {
      if (Id === "") throw new DaemonError(`${description} has no "Id" of 64 hexadecimal digits`, { hint });
      return Id.replace("sha256:", "");
    },
    config: async () => config,
  };
}
