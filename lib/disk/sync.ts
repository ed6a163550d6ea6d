import { fdatasyncSync, fsyncSync } from "node:fs";
import { hasCode, isRefused } from "../errors.ts";

/** Has a file written to its disk or server; one that cannot be asked to is forgiven. Throws the system's other errors. */
export function sync(fd: number): void {
  unlessRefused(() => fsyncSync(fd));
}

/** As `sync`, without what is only about the file, such as its times. */
export function syncData(fd: number): void {
  unlessRefused(() => fdatasyncSync(fd));
}

function unlessRefused(act: () => void): void {
  try {
    act();
  } catch (error) {
    if (!isRefused(error) && !hasCode(error, "EINVAL", "EROFS")) throw error;
  }
}
