import { hangMs } from "./harness.ts";

/** Polls until there is something; for what another process does when it likes. */
export async function eventually<T>(what: string, look: () => T | undefined): Promise<T> {
  for (const since = performance.now(); performance.now() - since < hangMs; await Bun.sleep(10)) {
    const found = look();
    if (found !== undefined) return found;
  }
  throw new Error(`waited in vain for ${what}`);
}
