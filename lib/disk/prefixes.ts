/** A path and all that it leads through, from `/` on; empty names count for nothing. */
export function prefixesOf(path: string): string[] {
  const prefixes = ["/"];
  let prefix = "";
  for (const name of namesOf(path)) {
    prefix += `/${name}`;
    prefixes.push(prefix);
  }
  return prefixes;
}

/** The names in a path. */
export function namesOf(path: string): string[] {
  return path.split("/").filter((name) => name !== "");
}
