/**
 * Text with control characters other than line feed and tab written visibly, and likewise the C1 range and marks of direction,
 * of order and of line ends.
 */
export function printable(text: string): string {
  return text.replace(
    /[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff]/g,
    escapeCharacter,
  );
}

/** Text that may quote something untrusted, kept on one line. */
export function inline(text: string): string {
  return printable(text).replace(/[\n\t]/g, escapeCharacter);
}

/** An untrusted name in double quotes, with every control character escaped. */
export function quote(name: string): string {
  return `"${name.replace(/[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff"\\]/g, escapeCharacter)}"`;
}

/**
 * A path that a variable holds, in double quotes; in its place may be what should be in the file, a key or a token, which
 * nobody may see. So what does not look like a path is not shown.
 */
export function quotePath(path: string): string {
  return looksLikePath(path) ? quote(path) : "something else than a path";
}

/** A variable, or another setting, with the path that it holds, as far as that may be shown. */
export function namedPath(name: string, path: string): string {
  return looksLikePath(path) ? `${name} ${quote(path)}` : `${name}, which holds something else than a path`;
}

function looksLikePath(text: string): boolean {
  // Line breaks of a PEM, a JSON Web Token, base64 that goes on and on.
  if (/[\x00-\x1f\x7f]|\beyJ|[\w+=-]{61}/.test(text) || text.length > 1024) return false;
  return /^(\/|\.\.?(\/|$)|~)/.test(text) || /^[\w.@/-]{1,32}$/.test(text);
}

/** An untrusted name as it is where it is one plain word, else in double quotes. */
export function plainOrQuoted(name: string): string {
  return /^[\w.@/+:-]+$/.test(name) ? name : quote(name);
}

function escapeCharacter(character: string): string {
  switch (character) {
    case "\n":
      return "\\n";
    case "\r":
      return "\\r";
    case "\t":
      return "\\t";
    case '"':
      return '\\"';
    case "\\":
      return "\\\\";
    default: {
      const code = character.charCodeAt(0);
      return code < 0x100 ? `\\x${code.toString(16).padStart(2, "0")}` : `\\u${code.toString(16).padStart(4, "0")}`;
    }
  }
}

/** A size for people: three digits and a decimal unit. */
export function formatBytes(bytes: number): string {
  const units = ["", "kB", "MB", "GB", "TB"];
  let value = bytes;
  let unit = 0;
  while (value >= 999.5 && unit < units.length - 1) {
    value /= 1000;
    unit += 1;
  }
  return unit === 0 ? count(value, "byte") : `${value.toPrecision(3)} ${units[unit]}`;
}

/** `1 layer`, `2 layers`, with thousands separated. */
export function count(n: number, noun: string, plural = `${noun}s`): string {
  return `${thousands(n)} ${n === 1 ? noun : plural}`;
}

/** An integer with thousands separated. */
export function thousands(n: number): string {
  // Not toLocaleString: loading ICU takes longer than a small restore.
  return Math.abs(n) < 1000 ? String(n) : String(n).replace(/\B(?=(?:\d{3})+$)/g, ",");
}

/** Digests cut to twelve digits, as everybody shows them; not those of a reference or in the name of a file. */
export function withShortDigests(text: string): string {
  if (!text.includes("sha256:")) return text;
  return text.replace(/(?<![@/\w-])sha256:([0-9a-f]{12})[0-9a-f]{52}(?![0-9a-f]|\.tar)/g, "sha256:$1");
}

/** A word as a shell takes it, in quotes only where it needs them. */
export function shellQuote(word: string): string {
  return /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`;
}
