import { resolveKeychain } from "./keychain.ts";
import { parseReference } from "./reference.ts";
import { createRegistry, type Registry, type RegistryOptions } from "./registry.ts";

/**
 * A client for the registries of these image references, with their credentials (contract §5): read now, since privileges
 * are dropped later. References that are none are left to their users to complain about. Throws a RestorerError for
 * malformed credentials.
 */
export async function connect(
  images: readonly string[],
  options: Omit<RegistryOptions, "keychain">,
): Promise<Registry> {
  const { env, log, signal } = options;
  const keychain = await resolveKeychain({ env, registries: new Set(images.flatMap(registryOf)), log, signal });
  return createRegistry({ ...options, keychain });
}

function registryOf(image: string): string[] {
  try {
    return [parseReference(image).registry];
  } catch {
    return [];
  }
}
