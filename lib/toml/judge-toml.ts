import { limits } from "../limits.ts";
import { count } from "../text.ts";

const code = (character: string): number => character.charCodeAt(0);
const lineFeed = code("\n");
const hash = code("#");
const quoteMark = code('"');
const apostrophe = code("'");
const backslash = code("\\");
const dot = code(".");
/** What begins a value, a table or a header, or stands between two of them. */
const pieces = codes("=,[{");
/** What ends a number, a date, or a bare key. */
const wordEnds = codes(" \t\r\n=,.[]{}");

function codes(characters: string): ReadonlySet<number> {
  const found = new Set<number>();
  for (let at = 0; at < characters.length; at += 1) found.add(characters.charCodeAt(at));
  return found;
}

/**
 * Judges a TOML text before it is parsed, in one pass over its bytes: small ones may hold so many values that they take
 * gigabytes (D24). Knows no more of TOML than where strings and comments end. Throws an Error that says what it holds too
 * much of.
 */
export function judgeToml(bytes: Uint8Array): void {
  new TomlJudge(bytes).judge();
}

class TomlJudge {
  readonly #bytes: Uint8Array;
  #pieces = 0;
  /** Dots of the key that is being read. */
  #dots = 0;
  /** Where the word that is being read began. */
  #word = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
  }

  judge(): void {
    const bytes = this.#bytes;
    for (let at = 0; at < bytes.length; at += 1) {
      const byte = bytes[at] ?? 0;
      if (byte === quoteMark || byte === apostrophe || byte === hash) {
        at = byte === hash ? this.#endOfLine(at) : this.#endOfString(at, byte);
        this.#word = at + 1;
      } else if (wordEnds.has(byte)) this.#endWord(at, byte);
    }
    this.#endWord(bytes.length, lineFeed);
    const { tomlPieces } = limits;
    if (this.#pieces > tomlPieces)
      throw new Error(`holds about ${tooMany(this.#pieces, tomlPieces, "value")} (lines and escapes count as well)`);
  }

  #endWord(at: number, byte: number): void {
    const length = at - this.#word;
    this.#word = at + 1;
    if (length > limits.tomlWordBytes) {
      throw new Error(`holds a number or bare key of ${tooMany(length, limits.tomlWordBytes, "byte")}`);
    }
    if (byte === dot) {
      this.#pieces += 1;
      this.#dots += 1;
      if (this.#dots > limits.nesting) throw new Error(`is nested deeper than ${limits.nesting} levels`);
    } else if (byte === lineFeed || pieces.has(byte)) {
      this.#pieces += 1;
      this.#dots = 0;
    }
  }

  /** The last byte of a comment. */
  #endOfLine(from: number): number {
    const end = this.#bytes.indexOf(lineFeed, from);
    // The line feed counts as a piece.
    return end === -1 ? this.#bytes.length : end - 1;
  }

  /** The last byte of a string: where one is not closed, the text's. */
  #endOfString(from: number, mark: number): number {
    const bytes = this.#bytes;
    const isMultiline = bytes[from + 1] === mark && bytes[from + 2] === mark;
    for (let at = from + (isMultiline ? 3 : 1); at < bytes.length; at += 1) {
      const byte = bytes[at];
      if (byte === mark && (!isMultiline || (bytes[at + 1] === mark && bytes[at + 2] === mark))) {
        return isMultiline ? at + 2 : at;
      }
      if (byte !== lineFeed && byte !== backslash) continue;
      this.#pieces += 1;
      // Only a basic string has escapes. A string of one line ends with it: the parser will tell.
      if (byte === backslash && mark === quoteMark) at += 1;
      if (byte === lineFeed && !isMultiline) return at;
    }
    return bytes.length;
  }
}

function tooMany(found: number, allowed: number, noun: string): string {
  return `${count(found, noun)}, more than the ${count(allowed, noun)} allowed`;
}
