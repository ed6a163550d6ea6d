import { BlobError, fileReader } from "./blob-file.ts";
import { giveBack, until } from "./chunks.ts";
import { CompressionError, type Sink } from "./decompress.ts";
import type { LayerSource } from "./source.ts";
import { type TarHandler, TarReader } from "./tar.ts";
import { TarError } from "./tar-error.ts";
import { Content, StoredBlob } from "./verification.ts";
import { namingBlob } from "./wrong-content.ts";

/** Bytes read from a file, or decompressed, at a time. */
const chunkBytes = 512 * 1024;

/** What reading a blob takes. */
interface BlobReading {
  readonly source: LayerSource;
  /** What the SHA-256 of the uncompressed archive must be, `sha256:<hex>`. */
  readonly diffId: string;
  /** Told what the archive holds; none of it is verified before `readBlob` resolves. */
  readonly handler: TarHandler;
  readonly signal: AbortSignal;
  /** Awaited after each chunk, so that whoever takes what the handler is told need not keep it all. */
  readonly pause?: () => Promise<void>;
}

/**
 * Reads one blob to its end in this thread: a stream decompressed and its digest verified, the archive's diffID verified,
 * and its entries told to a handler (contract §4, D4). It leaves a file open, and lets the event loop turn after each
 * chunk. Rejects with a BlobError where the blob is bad, in the words of a restore; with the signal's reason; and with what
 * the handler or the source throws.
 */
export async function readBlob({ source, diffId, handler, signal, pause }: BlobReading): Promise<void> {
  signal.throwIfAborted();
  const turn = async () => {
    await nextTurn(signal);
    await pause?.();
  };
  try {
    const archive = new Archive(new Content(diffId, source), handler);
    if (source.kind === "file") await readFile(source.fd, archive, turn);
    else await readStream(source, archive, { signal, turn });
    archive.finish();
  } catch (error) {
    if (!isAboutBlob(error)) throw error;
    throw new BlobError(namingBlob(source, error.message), { cause: error });
  }
}

function isAboutBlob(error: unknown): error is Error {
  return error instanceof BlobError || error instanceof CompressionError || error instanceof TarError;
}

/** A file's archive is hashed to its end even where it is bad: a corrupt blob is the better reason. */
async function readFile(fd: number, archive: Archive, turn: () => Promise<void>): Promise<void> {
  const read = fileReader(fd);
  const buffer = Buffer.allocUnsafe(chunkBytes);
  for (let position = 0; ; ) {
    const length = read(buffer, position);
    if (length === 0) return;
    archive.take(buffer.subarray(0, length));
    position += length;
    await turn();
  }
}

/** The rest of a download is not worth it once its archive is found to be bad. */
async function readStream(
  source: Extract<LayerSource, { kind: "stream" }>,
  archive: Archive,
  { signal, turn }: { readonly signal: AbortSignal; readonly turn: () => Promise<void> },
): Promise<void> {
  const blob = new StoredBlob(source, archive);
  const { promise: aborted, resolve } = Promise.withResolvers<void>();
  const abort = () => resolve();
  signal.addEventListener("abort", abort);
  try {
    for await (const chunk of until(aborted, source.chunks)) {
      blob.write(Buffer.from(chunk.buffer, chunk.byteOffset, chunk.length));
      giveBack(chunk);
      archive.throwIfBad();
      await turn();
    }
    signal.throwIfAborted();
    blob.finish();
  } finally {
    blob.close();
    signal.removeEventListener("abort", abort);
  }
}

/** The uncompressed archive: verified, and read as tar as far as it is one. */
class Archive implements Sink {
  readonly #content: Content;
  readonly #reader: TarReader;
  readonly #buffer = Buffer.allocUnsafe(chunkBytes);
  #problem: TarError | undefined;

  constructor(content: Content, handler: TarHandler) {
    this.#content = content;
    this.#reader = new TarReader(handler);
  }

  acquire(): Buffer {
    return this.#buffer;
  }

  commit(length: number): void {
    this.take(this.#buffer.subarray(0, length));
  }

  take(bytes: Buffer): void {
    this.#content.take(bytes);
    if (this.#problem !== undefined) return;
    try {
      this.#reader.write(bytes);
    } catch (error) {
      if (!(error instanceof TarError)) throw error;
      this.#problem = error;
    }
  }

  throwIfBad(): void {
    if (this.#problem !== undefined) throw this.#problem;
  }

  /** Says that the archive is complete. */
  finish(): void {
    this.#content.verify();
    this.throwIfBad();
    this.#reader.finish();
  }
}

/** Signals and messages arrive between turns of the event loop only. */
async function nextTurn(signal: AbortSignal): Promise<void> {
  await new Promise((resolve) => setImmediate(resolve));
  signal.throwIfAborted();
}
