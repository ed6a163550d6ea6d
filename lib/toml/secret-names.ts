import { parseReference } from "../oci/reference.ts";

/**
 * Throws an Error unless all these are names of images, or empty. Messages quote the names of images, also of those that
 * cannot be read; what is no such name must not get so far where it comes from a secret file.
 */
export function checkSecretNames(names: readonly string[]): void {
  for (const name of names) {
    // The name of an image of an OCI layout is its path.
    if (name !== "" && !/^\/[\w./:@-]+$/.test(name)) parseReference(name);
  }
}
