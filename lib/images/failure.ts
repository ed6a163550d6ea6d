import { RestorerError } from "../errors.ts";

/** The error for an image that a run cannot do without; it keeps the hint of its cause. */
export function imageFailure(message: string, cause: unknown): RestorerError {
  const hint = cause instanceof RestorerError ? cause.hint : undefined;
  return new RestorerError(message, { cause, ...(hint === undefined ? {} : { hint }) });
}
