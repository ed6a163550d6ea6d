/** A script that completes command lines in a shell; undefined for a shell that is not known. */
export function completionScript(_shell: string): string | undefined {
  return undefined;
}
