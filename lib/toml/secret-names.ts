/** The characters of image references, and of paths of OCI layouts, which stand for images as well; not of URLs. */
const imageName = /^(?!.*\/\/)[\w/[][\w./:@[\]-]*$/;

/**
 * Throws an Error unless all these may be names of images, or are empty. Messages quote the names of images, also of those
 * that cannot be read; what is not such a name must not get so far where it comes from a secret file.
 */
export function checkSecretNames(names: readonly string[]): void {
  if (names.some((name) => name !== "" && !imageName.test(name)))
    throw new Error("it holds what cannot be an image's name");
}
