import { STATUS_CODES } from "node:http";
import * as v from "valibot";
import { RestorerError } from "../failures.ts";
import { TransportError } from "../http/errors.ts";
import type { HttpAnswer } from "../http/request.ts";
import type { Credential } from "../keychain/credential.ts";
import { optionalText } from "../lenient.ts";
import { formatReference, type Reference } from "../oci/reference.ts";
import { count, quote } from "../text.ts";
import { parseIfJson } from "../toml/json.ts";

interface RegistryErrorOptions {
  readonly hint?: string | undefined;
  readonly status?: number | undefined;
  readonly notFound?: boolean;
  readonly mayNotExist?: boolean;
  readonly registryCode?: string | undefined;
  readonly againAtMs?: number | undefined;
  readonly cause?: unknown;
}

/** A request to a registry that came to nothing: the message tells host, image, step, status and the registry's words. */
export class RegistryError extends RestorerError {
  /** HTTP status; undefined when there was no answer, or a wrong one. */
  readonly status: number | undefined;
  /** The registry's own code for the error: "NAME_UNKNOWN" (distribution specification, "Error Codes"). */
  readonly registryCode: string | undefined;
  /** The registry says that the image does not exist. */
  readonly notFound: boolean;
  /** It shows no manifest to us (401, 403), which is how many registries answer for an image that does not exist. */
  readonly mayNotExist: boolean;
  /** When the registry may be asked again (by `performance.now()`), where that was not done. */
  readonly againAtMs: number | undefined;

  constructor(message: string, options: RegistryErrorOptions = {}) {
    const { hint, status, registryCode, notFound = false, mayNotExist = false, againAtMs, cause } = options;
    super(message, { ...(hint === undefined ? {} : { hint }), ...(cause === undefined ? {} : { cause }) });
    this.status = status;
    this.registryCode = registryCode;
    this.notFound = notFound;
    this.mayNotExist = mayNotExist;
    this.againAtMs = againAtMs;
  }

  /** The same, with further words. */
  saying(words: string): RegistryError {
    return new RegistryError(`${this.message}${words}`, this);
  }

  /** An answer that came, but is not what it should be. */
  static about(reference: Reference, step: string, cause: Error): RegistryError {
    return new RegistryError(`failed to ${step} ${formatReference(reference)} from ${reference.registry}`, {
      cause,
    });
  }
}

/** What was being done when something went wrong. */
export interface Operation {
  /** In words that go after "failed to": "get the manifest of". */
  readonly step: string;
  readonly reference: Reference;
  readonly credential: Credential;
  /** What was sent as `Authorization`: a token that was fetched is not among the credential's secrets. */
  readonly authorization?: string | undefined;
}

/** An answer with a status that is of no use. */
interface Refusal {
  readonly host: string;
  readonly status: number;
  readonly body: string;
  /** Whether it names a way to log in. */
  readonly challenges: boolean;
  /** The wait that it asks for, in milliseconds, where that is longer than ours may be. */
  readonly askedMs?: number | undefined;
  readonly againAtMs?: number | undefined;
  /** The host that was asked, where its redirect led to this one: no credentials were sent here. */
  readonly redirectedFrom?: string | undefined;
  /** What stands in the address that a redirect led to and may be signed: its query, and the values in it. */
  readonly signed: readonly string[];
  /** The proxy that the request went by, which may be the one that answered. */
  readonly proxy?: string | undefined;
}

/** The error for an answer with a status that is of no use. */
export async function refusal(
  operation: Operation,
  { response, asked, answered, askedMs, againAtMs, proxy }: HttpAnswer,
): Promise<Error> {
  const redirectedFrom = answered.origin === asked.origin ? undefined : asked.host;
  const answer = {
    host: answered.host,
    status: response.status,
    body: await response.text(),
    challenges: response.headers.has("www-authenticate"),
    askedMs,
    againAtMs,
    redirectedFrom,
    signed: answered.href === asked.href ? [] : signedParts(answered),
    proxy,
  };
  return statusError(operation, answer);
}

function statusError(operation: Operation, refusal: Refusal): RegistryError {
  const { step, reference, credential } = operation;
  const { host, status, body, askedMs, redirectedFrom, signed, proxy } = refusal;
  const { words, code } = serverMessage(body, (text) => withoutSecrets(text, operation, signed));
  const said = words === "" ? "" : `: ${quote(words)}`;
  const reason = STATUS_CODES[status] === undefined ? "" : ` ${STATUS_CODES[status]}`;
  const wait =
    askedMs === undefined
      ? ""
      : `; it asks for a wait of ${count(Math.ceil(askedMs / 1000), "second")}, which is longer than we wait`;
  const led = redirectedFrom === undefined ? "" : `, where ${redirectedFrom} redirects to,`;
  const via = proxy === undefined ? "" : ` by way of the proxy ${proxy}`;
  const shown = redirectedFrom === undefined ? credential.source : "none are sent there";
  return new RegistryError(
    `failed to ${step} ${formatReference(reference)}: ${host}${via}${led} answered ${status}${reason}${said}${wait} (credentials: ${shown})`,
    {
      status,
      hint:
        redirectedFrom === undefined
          ? statusHint(refusal, operation)
          : redirectHint(refusal, redirectedFrom, operation),
      registryCode: code,
      againAtMs: refusal.againAtMs,
      notFound: status === 404 && step === getManifest,
      mayNotExist:
        redirectedFrom === undefined &&
        (status === 401 || status === 403) &&
        (step === getManifest || step === getToken),
    },
  );
}

/** Text of a server without the secrets it was sent, should it have echoed them. */
function withoutSecrets(
  text: string,
  { credential, authorization = "" }: Operation,
  signed: readonly string[],
): string {
  const secrets = [authorization.slice(authorization.indexOf(" ") + 1), authorization].filter(
    ({ length }) => length > 2,
  );
  return [...signed, ...secrets].reduce((rest, secret) => rest.replaceAll(secret, "***"), credential.redact(text));
}

/** The query of an address, and what in it is long enough for a secret, longest first: as it is written, and as it is meant. */
function signedParts({ search, searchParams }: URL): string[] {
  const written = search.slice(1).split(/[&=]/);
  return [search.slice(1), ...written, ...searchParams.values()]
    .filter((part) => part.length >= shortestSignature)
    .sort((one, other) => other.length - one.length);
}

/** Characters of what may be a signature: shorter words of an address, such as a version, tell nothing. */
const shortestSignature = 8;

/** Steps of operations, in words that go after "failed to". */
export const getManifest = "get the manifest of";
export const getToken = "get a token for";

/** What a refused manifest may mean besides: who may not see an image may not know whether there is one. */
export const absentPerhaps =
  "It may also not exist yet: GHCR, Docker Hub, Quay and Google answer so for an image that nobody has pushed.";

function statusHint({ status, body }: Refusal, { reference, credential }: Operation): string | undefined {
  const { registry, repository } = reference;
  // As nginx and others say it.
  if ((status === 400 || status === 403 || status === 496) && /(ssl|tls|client) certificate/i.test(body)) {
    return `${registry} wants a client certificate, and the restorer has none: ask whoever runs it for access with a password or token.`;
  }
  const login = `set CNB_REGISTRY_AUTH or log in to ${registry}`;
  if (status === 401 || status === 403) {
    if (credential.kind === "anonymous") return `No credentials for ${registry} were found: ${login}.`;
    const wrong = status === 401 ? "are right and not expired" : `may pull ${repository}`;
    return `Check that the credentials from ${credential.source} ${wrong}.`;
  }
  if (status === 404 && credential.kind === "anonymous") {
    return `Check the name; some registries answer so for private images: then ${login}.`;
  }
  if (status === 404) return "Check the name.";
  if (status === 429) return "The registry limits how often it may be asked: wait, use credentials, or a mirror.";
  return status >= 500 ? "The registry, or a proxy before it, is in trouble: try again later." : undefined;
}

/** What to do about the host that answered: the one that redirects there is not the one to log in to. */
function redirectHint(refusal: Refusal, from: string, { reference }: Operation): string | undefined {
  const { status, host, challenges } = refusal;
  // A store of blobs, where nobody logs in.
  if (status === 403 && !challenges) {
    return `${host} does not take the address that ${from} gives for it, which may have expired: check this machine's clock, try again, or ask whoever runs ${from}.`;
  }
  if (status === 401 || status === 403) {
    return `${host} asks for credentials of its own, and those for ${from} are not sent to it: log in to ${host} and name the image there, perhaps ${host}/${reference.repository}, or ask whoever runs ${from}.`;
  }
  if (status === 404) return `Check the name, and where ${from} redirects to.`;
  if (status === 429) return `${host} limits how often it may be asked: wait, or use a mirror.`;
  return status >= 500 ? `${host} is in trouble: try again later.` : undefined;
}

/** The error for a request that got no answer, or none that could be used; `advice` is better than the cause's own. */
export function failedError(operation: Operation, host: string, cause: unknown, advice?: string): RegistryError {
  if (cause instanceof RegistryError) return cause;
  const hint = advice ?? (cause instanceof TransportError ? cause.hint : undefined);
  const { step, reference, credential } = operation;
  const name = formatReference(reference);
  return new RegistryError(`failed to ${step} ${name} from ${host} (credentials: ${credential.source})`, {
    hint,
    cause,
  });
}

const listedSchema = v.fallback(v.object({ code: optionalText, message: optionalText }), { code: "", message: "" });
const errorSchema = v.object({
  errors: v.fallback(v.array(listedSchema), []),
  error_description: optionalText,
  error: optionalText,
  details: optionalText,
  message: optionalText,
});

/**
 * A registry's own words about an error (distribution specification, "Error Codes"; OAuth2 for token servers; or the first
 * line of a plain text), at most 300 characters; and the code of the first error. Secrets are looked for in the words that
 * JSON's escapes stand for.
 */
function serverMessage(body: string, redact: (text: string) => string): { words: string; code: string | undefined } {
  const parsed = v.safeParse(errorSchema, parseIfJson(body));
  let words = /^\s*[<{[]/.test(body) ? "" : (redact(body).trim().split("\n", 1)[0] ?? "");
  let code: string | undefined;
  if (parsed.success) {
    const { errors, error_description, error, details, message } = parsed.output;
    const listed = errors.slice(0, 3).map((one) => one.message || one.code);
    const own = error_description || error || details || message;
    words = redact([...listed, own].filter((part) => part !== "").join("; "));
    code = /^[A-Z_]{1,64}$/.exec(redact(errors.find((one) => one.code !== "")?.code ?? ""))?.[0];
  }
  return { words: words.length > 300 ? `${words.slice(0, 300)}…` : words, code };
}
