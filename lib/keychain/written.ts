import { parseIfObject } from "../toml/json.ts";

/** Text of a file that people's editors and shells wrote: UTF-8, or UTF-16 with a byte order mark, which goes. */
export function decodeText(bytes: Uint8Array): string {
  const [first, second] = bytes;
  if (first === 0xff && second === 0xfe) return new TextDecoder("utf-16le").decode(bytes);
  if (first === 0xfe && second === 0xff) return new TextDecoder("utf-16be").decode(bytes);
  return new TextDecoder().decode(bytes);
}

/**
 * Parses a JSON object that people put together: a byte order mark goes, and line breaks within values become spaces, for
 * `base64` wraps its lines. No text, and null, are an empty object; undefined where it is something else.
 */
export function parseWritten(text: string): unknown {
  const trimmed = text.trim();
  if (trimmed === "" || trimmed === "null") return {};
  return parseIfObject(trimmed) ?? parseIfObject(trimmed.replace(/[\r\n\t]+/g, " "));
}

/** A token or base64 without the white space within and around it. */
export function withoutSpace(text: string): string {
  return text.replace(/\s+/g, "");
}

/** Base64 of `user:password`, without the line break that `echo user:password | base64` puts at its end. */
export function withoutFinalBreak(basic: string): string {
  const decoded = Buffer.from(basic, "base64");
  const end = /[\r\n]+$/.exec(decoded.toString("latin1"))?.index;
  return end === undefined ? basic : decoded.subarray(0, end).toString("base64");
}
