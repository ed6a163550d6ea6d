import { refuseFewDescriptors } from "../disk/descriptors.ts";
import type { Session } from "../session.ts";
import type { Registry } from "./registry.ts";

/**
 * A client for the registries of these images, with credentials, which only root may be able to read. Undefined where no
 * registry is used. Throws a RestorerError for malformed credentials, and where too few files may be opened.
 */
export async function openRegistry(session: Session, images: readonly string[]): Promise<Registry | undefined> {
  // Malformed credentials are an error also where nothing is asked for them.
  if (images.length === 0 && !session.env["CNB_REGISTRY_AUTH"]) return undefined;
  refuseFewDescriptors();
  // Loaded only when needed: it takes longer than a restore from a small volume cache.
  const { connect } = await import("./connect.ts");
  return connect(images, session);
}
