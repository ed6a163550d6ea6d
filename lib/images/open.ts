import type { Registry } from "../registry/registry.ts";
import type { Session } from "../session.ts";
import type { ImagesPlan } from "./plan.ts";
import type { Images } from "./resolve.ts";

/** The images that are planned, opened as far as privileges are needed for it; undefined where there are none. */
export async function openPlannedImages(
  plan: ImagesPlan | undefined,
  session: Session,
  registry: Registry | undefined,
): Promise<Images | undefined> {
  if (plan === undefined) return undefined;
  // Loaded only when needed, as the registry is.
  const { openImages } = await import("./resolve.ts");
  return openImages(plan, session, registry);
}
