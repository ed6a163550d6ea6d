import { readWhole } from "../disk/read-file.ts";
import type { Environment } from "../environment.ts";
import { describe, hasCode } from "../errors.ts";
import { namedPath } from "../text.ts";
import { renewalTime } from "../waiting.ts";

/** A sign-in that came to nothing. Its words hold nothing of a credential. */
export class SignInFailure extends Error {
  override readonly name: string = "SignInFailure";
}

/** A step that is set up failed, which ends its chain. */
export class StepFailure extends SignInFailure {
  override readonly name = "StepFailure";
}

/** What a step needs is not there: the next one is asked. The message says what. */
export class NotSetUp extends Error {
  override readonly name = "NotSetUp";
}

/** A place where a cloud's credentials may be. */
export interface Step<T> {
  /** In words for people: "web identity". */
  readonly name: string;
  /** Throws NotSetUp, StepFailure, or the signal's reason. */
  readonly get: () => Promise<T>;
}

/**
 * What the first step that is set up gives, and its name. As in the clouds' own libraries a step that is set up and fails
 * ends the chain: whoever set it up did not mean another identity. Throws a SignInFailure that lists what was tried.
 */
async function firstOf<T>(
  steps: readonly Step<T>[],
  debug: (message: string) => void,
): Promise<{ readonly value: T; readonly by: string }> {
  const tried: string[] = [];
  for (const { name, get } of steps) {
    try {
      const value = await get();
      debug(`credentials by ${name}`);
      return { value, by: name };
    } catch (error) {
      if (!(error instanceof NotSetUp || error instanceof StepFailure)) throw error;
      debug(`none by ${name}: ${error.message}`);
      tried.push(`${name} (${error.message})`);
      if (error instanceof StepFailure) break;
    }
  }
  throw new SignInFailure(tried.join(", "));
}

/** What follows once a step gave something; a failure tells that it did, and which. */
export async function onceGiven<T>(by: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (error instanceof StepFailure) throw new SignInFailure(`${by} (credentials were there, but ${error.message})`);
    throw error;
  }
}

/** A variable's value. Throws NotSetUp where it has none. */
export function required(env: Environment, name: string): string {
  const value = env[name]?.trim() ?? "";
  if (value === "") throw new NotSetUp(`${name} is not set`);
  return value;
}

/** Bytes of a file of credentials. */
const fileBytes = 1024 * 1024;

/** Files of credentials: one that this process could read once and cannot read any more, as a user, is as it was. */
export class Files {
  readonly #known = new Map<string, string>();

  /** Of a file that may be there or not: undefined where it is not, or cannot be read, which the clouds' libraries pass by, too. */
  find(path: string): string | undefined {
    try {
      return this.#read(path);
    } catch {
      return undefined;
    }
  }

  /**
   * Of a file that something named, `where`: a variable, a setting. Throws a StepFailure where it cannot be read, or nothing is
   * in it.
   */
  text(path: string, where: string): string {
    const shown = namedPath(where, path);
    try {
      const text = this.#read(path).trim();
      if (text !== "") return text;
    } catch (error) {
      throw new StepFailure(`cannot read ${shown}: ${describe(error)}`);
    }
    throw new StepFailure(`${shown} is empty`);
  }

  #read(path: string): string {
    try {
      const text = readWhole(path, fileBytes)
        .toString("utf8")
        .replace(/^\ufeff/, "");
      this.#known.set(path, text);
      return text;
    } catch (error) {
      const known = hasCode(error, "EACCES", "EPERM") ? this.#known.get(path) : undefined;
      if (known === undefined) throw error;
      return known;
    }
  }
}

/**
 * What several ask for at a time, or one after the other, got once for as long as it is good: whoever comes later gets what
 * is left of its life. What failed is not kept.
 */
export class Shared<T extends { readonly livesMs: number | undefined }> {
  readonly #get: () => Promise<T>;
  #pending: Promise<T> | undefined;
  #renewAt = Number.POSITIVE_INFINITY;
  #endsAt: number | undefined;

  constructor(get: () => Promise<T>) {
    this.#get = get;
  }

  async get(): Promise<T> {
    const got = await this.#current();
    return this.#endsAt === undefined ? got : { ...got, livesMs: this.#endsAt - performance.now() };
  }

  #current(): Promise<T> {
    if (this.#pending !== undefined && performance.now() < this.#renewAt) return this.#pending;
    this.#renewAt = Number.POSITIVE_INFINITY;
    const pending = this.#get();
    this.#pending = pending;
    pending.then(
      ({ livesMs }) => {
        this.#renewAt = renewalTime(livesMs);
        this.#endsAt = livesMs === undefined ? undefined : performance.now() + livesMs;
      },
      () => {
        this.#pending = undefined;
      },
    );
    return pending;
  }
}

/** What the first step that is set up gives, and its name, got once for all who ask. Asking throws as `firstOf` does. */
export function sharedFirst<T extends { readonly livesMs: number | undefined }>(
  steps: readonly Step<T>[],
  debug: (message: string) => void,
): Shared<T & { readonly by: string }> {
  return new Shared(async () => {
    const { value, by } = await firstOf(steps, debug);
    return { ...value, by };
  });
}
