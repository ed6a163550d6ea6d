import { fromLatin1 } from "../latin1.ts";

/** An archive that is broken, ambiguous, or holds what a layer cannot hold. */
export class TarError extends Error {
  override readonly name = "TarError";
}

/** A name of an archive for a message: readable where it is UTF-8, escaped and cut where it is not. */
export function show(name: string): string {
  const text = fromLatin1(name);
  return JSON.stringify(text.length > 120 ? `${text.slice(0, 117)}…` : text);
}

/** As `show`, with everything beyond ASCII escaped: for names that look the same and are not. */
export function showEscaped(name: string): string {
  return show(name).replace(/[^ -~]/g, (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`);
}
