import * as v from "valibot";

/*
 * Schemas for what other programs say: what is usable of it is used, and null, or anything else than what belongs there,
 * counts as absent. A field that we do not need never spoils one that we have.
 */

const object = v.custom<object>((value) => typeof value === "object" && value !== null && !Array.isArray(value));

/** Text, else "". */
export const optionalText = v.fallback(v.string(), "");

/** The entries of an object, else none. Not v.record: it drops names such as `__proto__`. */
export const optionalEntries = v.fallback(
  v.pipe(
    object,
    v.transform((table): [string, unknown][] => Object.entries(table)),
  ),
  [],
);

/**
 * An object with its names in lower case, for programs written in Go take them in any case: of several that differ only
 * so the last one counts, null aside.
 */
export const inLowerCase = v.pipe(
  object,
  v.transform((table) =>
    Object.fromEntries(
      Object.entries(table)
        .filter(([, value]) => value !== null)
        .map(([name, value]): [string, unknown] => [name.toLowerCase(), value]),
    ),
  ),
);

/** The entries of an object whose values are text. */
export const optionalTexts = v.pipe(
  optionalEntries,
  v.transform((entries) => entries.filter((entry): entry is [string, string] => typeof entry[1] === "string")),
);
