import * as v from "valibot";

/*
 * Schemas for what other programs say: what is usable of it is used, and null, or anything else than what belongs there,
 * counts as absent. A field that we do not need never spoils one that we have.
 */

/** Text, else "". */
export const optionalText = v.fallback(v.string(), "");

/** The entries of an object, else none. Not v.record: it drops names such as `__proto__`. */
export const optionalEntries = v.fallback(
  v.pipe(
    v.custom<object>((value) => typeof value === "object" && value !== null && !Array.isArray(value)),
    v.transform((table): [string, unknown][] => Object.entries(table)),
  ),
  [],
);

/** The entries of an object whose values are text. */
export const optionalTexts = v.pipe(
  optionalEntries,
  v.transform((entries) => entries.filter((entry): entry is [string, string] => typeof entry[1] === "string")),
);
