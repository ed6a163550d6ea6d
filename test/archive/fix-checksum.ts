/** Gives the header block at a position of an archive the checksum it should have, after something in it was changed. */
export function fixChecksum(archive: Buffer, at: number): void {
  archive.fill(" ", at + 148, at + 156);
  const sum = archive.subarray(at, at + 512).reduce((total, byte) => total + byte, 0);
  archive.write(`${sum.toString(8).padStart(6, "0")}\0 `, at + 148, 8, "latin1");
}

/** Whether the block at a position looks like a header. */
export function isHeader(archive: Buffer, at: number): boolean {
  return archive.toString("latin1", at + 257, at + 262) === "ustar";
}
