import * as v from "valibot";
import type { Environment } from "../environment.ts";
import { HttpClient } from "../http/client.ts";
import { TransportError } from "../http/errors.ts";
import { httpTiming } from "../http/timing.ts";
import { optionalText } from "../lenient.ts";
import type { Log } from "../log.ts";
import { parseIfJson } from "../toml/json.ts";
import { Deadline } from "../waiting.ts";
import type { Endpoint } from "./endpoints.ts";
import { StepFailure } from "./steps.ts";

/** How long a sign-in waits, in milliseconds. */
export interface CloudTiming {
  /** The first answer of a server that may not be there at all, with all attempts. */
  readonly absentMs: number;
  /** Any other answer, with all attempts. */
  readonly answerMs: number;
}

export const cloudTiming: CloudTiming = { absentMs: 3_000, answerMs: 35_000 };

/** What a sign-in has to work with. */
export interface CloudOptions {
  readonly env: Environment;
  readonly debug: (message: string) => void;
  readonly signal?: AbortSignal | undefined;
  readonly timing?: Partial<CloudTiming> | undefined;
}

/** A request; `form` makes it a POST. */
export interface SignInRequest {
  readonly method?: "GET" | "POST" | "PUT";
  readonly headers?: Readonly<Record<string, string>>;
  readonly authorization?: string;
  readonly form?: Readonly<Record<string, string>>;
  readonly body?: string;
  /** Whether nobody has heard of this server yet, so that it may not be there. */
  readonly mayBeAbsent?: boolean;
}

export interface SignInAnswer {
  readonly host: string;
  readonly status: number;
  readonly text: string;
  readonly headers: Headers;
}

const answerBytes = 256 * 1024;
/** Addresses of such requests may be secrets themselves (those of ECS are): the chain says what goes on instead. */
const silent: Log = { level: "error", debug() {}, info() {}, warn() {}, error() {}, warnings: [], flush() {} };

/** Requests of a sign-in: certificates always verified, no redirect followed, patience bounded. */
export class Requests {
  readonly #timing: CloudTiming;
  readonly #signal: AbortSignal;
  /** What is local is never asked by way of a proxy: a proxy would see the credentials in the clear. */
  readonly #local: HttpClient;
  readonly #remote: HttpClient;

  constructor({ env, signal, timing }: CloudOptions) {
    this.#timing = { ...cloudTiming, ...timing };
    this.#signal = signal ?? new AbortController().signal;
    const patience = { ...httpTiming, attempts: 3, retryAfterMs: 5_000, limitedMs: 6_000 };
    const options = { log: silent, verifies: () => true, timing: patience };
    this.#local = new HttpClient({ ...options, env: {} });
    this.#remote = new HttpClient({ ...options, env });
  }

  /** Any answer, of whatever status. Throws a StepFailure where there is none, or the signal's reason. */
  async ask(endpoint: Endpoint, request: SignInRequest = {}): Promise<SignInAnswer> {
    const { url, isLocal } = endpoint;
    const { absentMs, answerMs } = this.#timing;
    const limitMs = request.mayBeAbsent === true ? absentMs : answerMs;
    const late = new TransportError("Timeout", `${url.host} did not answer within ${limitMs / 1000} s`);
    using deadline = new Deadline(limitMs, late, this.#signal);
    try {
      const client = isLocal ? this.#local : this.#remote;
      const { response } = await client.send(toHttp(url, request, deadline.signal));
      return { host: url.host, status: response.status, text: await response.text(), headers: response.headers };
    } catch (error) {
      this.#signal.throwIfAborted();
      if (error instanceof TransportError) throw new StepFailure(error.message);
      throw error;
    }
  }

  /** As `ask`, for an answer that must be of status 2xx. */
  async askOk(endpoint: Endpoint, request?: SignInRequest): Promise<SignInAnswer> {
    const answer = await this.ask(endpoint, request);
    if (answer.status < 200 || answer.status > 299) throw refused(answer);
    return answer;
  }
}

function toHttp(url: URL, request: SignInRequest, signal: AbortSignal) {
  const { form, authorization } = request;
  const body = form === undefined ? request.body : new URLSearchParams(form).toString();
  const contentType = form === undefined ? {} : { "content-type": "application/x-www-form-urlencoded" };
  const headers = { accept: "application/json", ...contentType, ...request.headers };
  // What cannot stand in a header would have the request fail with the value in the message.
  for (const [name, value] of Object.entries({ ...headers, authorization: authorization ?? "" })) {
    if (!/^[\x20-\x7e]*$/.test(value))
      throw new StepFailure(`the value for the header ${name} is not one line of text`);
  }
  return {
    urls: [url] as const,
    method: request.method ?? (body === undefined ? "GET" : "POST"),
    headers,
    ...(body === undefined ? {} : { body }),
    authorization,
    refuseRedirect: () => "a sign-in follows no redirects",
    documentBytes: answerBytes,
    signal,
  };
}

/** The failure for an answer that is of no use. Only a code of it is told: words may repeat what they were sent. */
export function refused({ host, status, text }: SignInAnswer): StepFailure {
  const code = errorCode(text);
  return new StepFailure(`${host} answered ${status}${code === undefined ? "" : ` (${code})`}`);
}

/** An answer, as a schema has it. Throws a StepFailure that says which of its parts, `wanted`, was expected. */
export function readJson<T extends v.GenericSchema>({ host, text }: SignInAnswer, schema: T, wanted: string) {
  const parsed = v.safeParse(schema, parseIfJson(text));
  if (!parsed.success) throw new StepFailure(`${host} answered without ${wanted}`);
  return parsed.output;
}

/** Text that is not empty. */
export const someText = v.pipe(v.string(), v.trim(), v.nonEmpty());

const errorSchema = v.object({
  __type: optionalText,
  Code: optionalText,
  code: optionalText,
  error: v.fallback(v.union([v.string(), v.object({ status: v.string() })]), ""),
  error_codes: v.fallback(v.array(v.number()), []),
  errors: v.fallback(v.array(v.object({ code: optionalText })), []),
});

/** The code of an error, as these servers give it: in JSON, or in XML. */
function errorCode(text: string): string | undefined {
  const parsed = v.safeParse(errorSchema, parseIfJson(text));
  if (!parsed.success) return /<Code>([A-Za-z.]{1,64})<\/Code>/.exec(text)?.[1];
  const { __type, Code, code, error, error_codes, errors } = parsed.output;
  const [entra] = error_codes;
  if (entra !== undefined && Number.isSafeInteger(entra)) return `AADSTS${entra}`;
  const own = typeof error === "string" ? error : error.status;
  const codes = [__type.replace(/^.*#/, ""), Code, code, own, errors[0]?.code ?? ""];
  return codes.find((one) => /^[A-Za-z_.]{1,64}$/.test(one));
}
