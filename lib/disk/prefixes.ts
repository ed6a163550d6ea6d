/** A path and all that it leads through, from `/` on; empty names count for nothing. */
export function prefixesOf(path: string): string[] {
  const names = namesOf(path);
  return ["/", ...names.map((_, index) => `/${names.slice(0, index + 1).join("/")}`)];
}

/** The names in a path. */
export function namesOf(path: string): string[] {
  return path.split("/").filter((name) => name !== "");
}
