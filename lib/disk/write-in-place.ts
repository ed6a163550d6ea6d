import { closeSync, constants, fstatSync, ftruncateSync, openSync, type Stats, writeSync } from "node:fs";
import { hasCode } from "../errors.ts";
import { standardStream, writeText } from "../streams.ts";
import { inCache, isOfCache } from "./cache-places.ts";
import { isSame } from "./identity.ts";
import { sync } from "./sync.ts";
import { currentUser } from "./user.ts";
import { writeAll } from "./write.ts";

/**
 * Gives what a handle (O_PATH) is on new content. It is opened for writing only here, when the caller has judged it: opening
 * a device can have effects. What is our stdout or stderr takes its turn there. Throws the system's errors, and an Error
 * that says why nobody takes the content.
 */
export function writeInPlace(handle: number, content: Uint8Array): void {
  const stat = fstatSync(handle);
  if (stat.isFile() && isOfCache(stat)) throw new Error(inCache);
  const stream = standardStream((standing) => isSame(standing, stat));
  if (stream !== undefined) {
    writeText(stream, content);
    return;
  }
  const fd = openForWriting(handle, stat);
  try {
    if (stat.isFile()) overwrite(fd, content, stat);
    else writeToReader(fd, content);
  } finally {
    closeSync(fd);
  }
}

function openForWriting(handle: number, stat: Stats): number {
  try {
    return openSync(`/proc/self/fd/${handle}`, constants.O_WRONLY | constants.O_NONBLOCK);
  } catch (error) {
    if (!hasCode(error, "ENXIO")) throw error;
    if (stat.isFIFO()) throw new Error("it is a fifo that nobody reads");
    if (stat.isSocket()) throw new Error("it is a socket, which cannot be written like a file");
    throw error;
  }
}

/** Shortened last, so that a full disk is met before anything is lost. */
function overwrite(fd: number, content: Uint8Array, stat: Stats): void {
  if (stat.nlink > 1 && stat.uid !== currentUser().uid) {
    throw new Error("it has other names (hard links), and is somebody else's");
  }
  writeAll(fd, content, 0);
  ftruncateSync(fd, content.length);
  sync(fd);
}

/** How long a pipe or terminal may take to take everything: meanwhile no signal is heard. */
const readerMs = 900;

function writeToReader(fd: number, content: Uint8Array): void {
  const until = performance.now() + readerMs;
  for (let done = 0; done < content.length; ) {
    try {
      done += writeSync(fd, content, done);
    } catch (error) {
      if (!hasCode(error, "EAGAIN")) throw error;
      if (performance.now() > until) throw new Error(`its reader took only ${done} of ${content.length} bytes in time`);
      Bun.sleepSync(5);
    }
  }
}
