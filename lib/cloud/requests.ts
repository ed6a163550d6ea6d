import * as v from "valibot";
import type { Environment } from "../environment.ts";
import { hasCode } from "../errors.ts";
import { HttpClient } from "../http/client.ts";
import { isTransient, TransportError } from "../http/errors.ts";
import { transientStatuses } from "../http/retry.ts";
import { httpTiming } from "../http/timing.ts";
import { optionalText } from "../lenient.ts";
import type { Log } from "../log.ts";
import { parseIfJson } from "../toml/json.ts";
import { Deadline, sleep } from "../waiting.ts";
import type { Endpoint } from "./endpoints.ts";
import { StepFailure } from "./steps.ts";

/** How long a sign-in waits, in milliseconds. */
export interface CloudTiming {
  /** The first answer of a service of this machine, which may not be there at all, with all attempts. */
  readonly absentMs: number;
  /** All that such a service is asked for in one step. */
  readonly localMs: number;
  /** For so long one that refuses, or fails, is asked again: it may have begun together with us. */
  readonly startingMs: number;
  /** Any other answer, with all attempts. */
  readonly answerMs: number;
}

/** How long sign-ins wait where nothing else is said. */
export const cloudTiming: CloudTiming = { absentMs: 3_000, localMs: 5_000, startingMs: 3_000, answerMs: 35_000 };

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
  /** For a service of this machine or its link: what else it is asked for in this step, in the same time. */
  readonly visit?: Visit;
}

/** An answer, its body read to the end. */
export interface SignInAnswer {
  readonly host: string;
  readonly status: number;
  readonly text: string;
  readonly headers: Headers;
}

/** What a step asks of a service on this machine or its link: all of it has a short time, from now on. */
export class Visit {
  readonly #since = performance.now();
  /** Whether it is there. */
  hasAnswered = false;

  lastsMs(): number {
    return performance.now() - this.#since;
  }
}

/** The wait until a service of this machine is asked again; as much again is chance. */
const againMs = 200;
const answerBytes = 256 * 1024;
/** Addresses of such requests may be secrets themselves (those of ECS are): the chain says what goes on instead. */
const silent: Log = { level: "error", debug() {}, info() {}, warn() {}, error() {}, warnings: [], flush() {} };

/** Requests of a sign-in: certificates always verified, no redirect followed, patience bounded. */
export class Requests {
  readonly #timing: CloudTiming;
  readonly #signal: AbortSignal;
  /** What is local is never asked by way of a proxy: a proxy would see the credentials in the clear. */
  readonly #local: HttpClient;
  /** The same, with one attempt for each request. */
  readonly #visited: HttpClient;
  readonly #remote: HttpClient;

  constructor({ env, signal, timing }: CloudOptions) {
    this.#timing = { ...cloudTiming, ...timing };
    this.#signal = signal ?? new AbortController().signal;
    const patience = { ...httpTiming, attempts: 3, retryAfterMs: 5_000, limitedMs: 6_000 };
    const options = { log: silent, verifies: () => true, timing: patience };
    this.#local = new HttpClient({ ...options, env: {} });
    this.#visited = new HttpClient({ ...options, env: {}, timing: { ...patience, attempts: 1, limitedMs: 0 } });
    this.#remote = new HttpClient({ ...options, env });
  }

  /** Any answer, of whatever status. Throws a StepFailure where there is none, or the signal's reason. */
  async ask(endpoint: Endpoint, request: SignInRequest = {}): Promise<SignInAnswer> {
    const visit = endpoint.isLocal ? request.visit : undefined;
    try {
      if (visit !== undefined) return await this.#askNear(endpoint, request, visit);
      const { answerMs } = this.#timing;
      return await this.#send(endpoint.isLocal ? this.#local : this.#remote, endpoint, request, answerMs, answerMs);
    } catch (error) {
      this.#signal.throwIfAborted();
      if (error instanceof TransportError) throw new StepFailure(error.message);
      throw error;
    }
  }

  /** Asks again while the service may be starting: GKE's refuses connections for some seconds, others answer 500. */
  async #askNear(endpoint: Endpoint, request: SignInRequest, visit: Visit): Promise<SignInAnswer> {
    const { absentMs, localMs, startingMs } = this.#timing;
    for (;;) {
      const limitMs = visit.hasAnswered ? localMs : absentMs;
      const result = await this.#send(this.#visited, endpoint, request, limitMs, limitMs - visit.lastsMs()).catch(
        (error: unknown) => ({ error }),
      );
      const waitMs = againMs * (1 + Math.random());
      if (!mayBeStarting(result) || visit.lastsMs() + waitMs > startingMs) {
        if ("error" in result) throw result.error;
        visit.hasAnswered = true;
        return result;
      }
      await sleep(waitMs, this.#signal);
    }
  }

  /** Waits for `leftMs`, which is what is left of `limitMs`. Throws a TransportError, or the signal's reason. */
  async #send(
    client: HttpClient,
    { url }: Endpoint,
    request: SignInRequest,
    limitMs: number,
    leftMs: number,
  ): Promise<SignInAnswer> {
    const late = new TransportError("Timeout", `${url.host} did not answer within ${limitMs / 1000} s`);
    using deadline = new Deadline(Math.max(0, leftMs), late, this.#signal);
    const { response } = await client.send(toHttp(url, request, deadline.signal));
    return { host: url.host, status: response.status, text: await response.text(), headers: response.headers };
  }

  /** As `ask`, for an answer that must be of status 2xx. */
  async askOk(endpoint: Endpoint, request?: SignInRequest): Promise<SignInAnswer> {
    const answer = await this.ask(endpoint, request);
    if (answer.status < 200 || answer.status > 299) throw new RefusedFailure(answer);
    return answer;
  }
}

/** Whether a service may be there soon; where no network leads there, nobody will be. */
function mayBeStarting(result: SignInAnswer | { readonly error: unknown }): boolean {
  if (!("error" in result)) return transientStatuses.has(result.status);
  return isTransient(result.error) && !hasCode(result.error, "Timeout", "ENETUNREACH", "EHOSTUNREACH", "ENETDOWN");
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

/** An answer that is of no use. Only a code of it is told: words may repeat what they were sent. */
export class RefusedFailure extends StepFailure {
  readonly code: string | undefined;

  constructor({ host, status, text, headers }: SignInAnswer) {
    const code = errorCode(text) ?? /^[A-Za-z.]{1,64}/.exec(headers.get("x-amzn-errortype") ?? "")?.[0];
    super(`${host} answered ${status}${code === undefined ? "" : ` (${code})`}`);
    this.code = code;
  }
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

/** The code of an error, as these servers give it in the body: in JSON, or in XML. */
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
