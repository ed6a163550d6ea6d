import { type ImagePlace, resolveKeychain } from "../keychain/keychain.ts";
import { parseReference } from "../oci/reference.ts";
import type { Session } from "../session.ts";
import { createRegistry, type Registry } from "./registry.ts";

/**
 * A client for the registries of these image references, with their credentials (contract §5): read now, since privileges
 * are dropped later. Malformed references are left to their users to complain about. Throws a RestorerError for
 * malformed credentials.
 */
export async function connect(images: readonly string[], { inputs, env, log, signal }: Session): Promise<Registry> {
  const keychain = await resolveKeychain({ env, images: images.flatMap(placeOf), log, signal });
  const { insecureRegistries, blobConnections: connections } = inputs;
  return createRegistry({ keychain, insecureRegistries, connections, env, log, signal });
}

function placeOf(image: string): ImagePlace[] {
  try {
    return [parseReference(image)];
  } catch {
    return [];
  }
}
