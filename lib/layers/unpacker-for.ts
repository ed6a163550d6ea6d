import type { ChosenCache } from "../caches/open.ts";
import type { Session } from "../session.ts";
import { isWritten, type Plan } from "./layer-plan.ts";
import type { Unpacker } from "./unpack.ts";

/** Loaded only where a layer is written: one may have contents or SBOM files in the cache. */
export async function unpackerFor(
  plan: Plan,
  chosen: ChosenCache | undefined,
  session: Session,
): Promise<Unpacker | undefined> {
  if (chosen === undefined || !plan.layers.some(isWritten)) return undefined;
  const { Unpacker } = await import("./unpack.ts");
  return new Unpacker(chosen, session);
}
