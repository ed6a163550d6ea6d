import { show, TarError } from "./tar-error.ts";

/** What the records of a PAX extended header say that matters to a layer. Names are bytes in a latin1 string. */
export interface PaxRecords {
  path?: string;
  linkpath?: string;
  size?: number;
}

/**
 * Reads the records `<length> <key>=<value>\n` of a PAX extended header (POSIX pax, "pax Extended Header"). Only names and
 * size matter. Throws a TarError for malformed records, and for sparse files, whose content means something else.
 */
export function readPax(bytes: Buffer): PaxRecords {
  const records: PaxRecords = {};
  for (let at = 0; at < bytes.length; ) {
    const space = bytes.indexOf(0x20, at);
    const digits = bytes.toString("latin1", at, space < 0 ? at : Math.min(space, at + 10));
    const end = at + Number(digits);
    if (!/^[1-9][0-9]*$/.test(digits) || end > bytes.length || bytes[end - 1] !== 0x0a) {
      throw new TarError("a PAX header has a malformed record");
    }
    const equals = bytes.indexOf(0x3d, space);
    if (equals < 0 || equals >= end) throw new TarError("a PAX header has a record without a value");
    const key = bytes.toString("latin1", space + 1, equals);
    const value = bytes.toString("latin1", equals + 1, end - 1);
    at = end;
    if (key === "" || key.includes("\0")) throw new TarError("a PAX header has a malformed record");
    if (key.startsWith("GNU.sparse.") || key === "SUN.holesdata")
      throw new TarError("a file is stored sparsely, which no layer may hold");
    if (key !== "path" && key !== "linkpath" && key !== "size") continue;
    if (value.includes("\0")) throw new TarError(`a PAX ${key} holds a NUL byte`);
    if (value === "") throw new TarError(`a PAX ${key} is empty`);
    if (key !== "size") records[key] = value;
    else if (/^[0-9]{1,15}$/.test(value)) records.size = Number(value);
    else throw new TarError(`a PAX size is ${show(value)}`);
  }
  return records;
}
