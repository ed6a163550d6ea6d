/*
 * Names in archives and on disk are bytes, which need not be UTF-8. They are kept in strings with one character for each byte
 * (latin1), so that any byte survives, and compared and cut as such.
 */

/** The bytes of a text, as such a string. */
export function toLatin1(text: string): string {
  return Buffer.from(text).toString("latin1");
}

/** Such a string as the text that its bytes are; what is not UTF-8 is replaced. */
export function fromLatin1(latin1: string): string {
  return Buffer.from(latin1, "latin1").toString();
}

const beyondAscii = /[\x80-\xff]/;

/** Such a string as a path for the system: a string where it is ASCII, else its bytes. */
export function toPath(latin1: string): string | Buffer {
  return beyondAscii.test(latin1) ? Buffer.from(latin1, "latin1") : latin1;
}

/** The path of the directory that a relative path lies in; empty where it has one component. */
export function parentOf(path: string): string {
  const slash = path.lastIndexOf("/");
  return slash < 0 ? "" : path.slice(0, slash);
}
