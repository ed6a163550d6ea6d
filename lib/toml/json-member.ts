const quoteMark = 0x22;
const backslash = 0x5c;
const comma = 0x2c;
const colon = 0x3a;

/**
 * The text of one member of a JSON object, found without parsing the others; undefined where it has none, or is not an
 * object. Of several the last one counts, as for parsers.
 */
export function findMember(object: Uint8Array, key: string): Uint8Array | undefined {
  const wanted = JSON.stringify(key);
  const bytes = Buffer.from(object.buffer, object.byteOffset, object.length);
  // Any character of a key may be escaped.
  if (!bytes.includes(wanted) && !bytes.includes("\\u00")) return undefined;
  let depth = 0;
  let isWanted = false;
  let start: number | undefined;
  let found: Uint8Array | undefined;
  for (let at = 0; at < bytes.length; at += 1) {
    const byte = bytes[at];
    if (byte === quoteMark) {
      const end = endOfString(bytes, at);
      if (depth === 1 && start === undefined) isWanted = isSame(bytes.subarray(at, end + 1), wanted);
      at = end;
    } else if (byte === 0x7b || byte === 0x5b) depth += 1;
    else if (depth === 1 && byte === colon) start ??= at + 1;
    else if (depth === 1 && (byte === comma || byte === 0x7d || byte === 0x5d)) {
      if (isWanted && start !== undefined) found = bytes.subarray(start, at);
      start = undefined;
      depth -= byte === comma ? 0 : 1;
    } else if (byte === 0x7d || byte === 0x5d) depth -= 1;
  }
  return found;
}

/** Whether a string of JSON says the same as one that has no escapes. */
function isSame(text: Buffer, wanted: string): boolean {
  // An escape takes six bytes for one.
  if (text.length < wanted.length || text.length > 6 * wanted.length) return false;
  const isEscaped = text.includes(backslash);
  try {
    return text.toString() === wanted || (isEscaped && JSON.stringify(JSON.parse(text.toString())) === wanted);
  } catch {
    return false;
  }
}

function endOfString(bytes: Uint8Array, start: number): number {
  for (let at = start + 1; at < bytes.length; at += 1) {
    if (bytes[at] === quoteMark) return at;
    if (bytes[at] === backslash) at += 1;
  }
  return bytes.length;
}
