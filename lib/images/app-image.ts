import { describe } from "../errors.ts";
import type { Log } from "../log.ts";
import { absentPerhaps, RegistryError } from "../registry/errors.ts";
import { quote } from "../text.ts";
import { type ImageMetadata, noMetadata } from "../toml/metadata.ts";
import { parseMetadata } from "../toml/metadata-json.ts";
import { describeParseError } from "../toml/parse-error.ts";
import { isNotFound, type KnownImage } from "./known-image.ts";

const label = "io.buildpacks.lifecycle.metadata";

/**
 * Layer metadata of an app image, from its label: for platforms that run no analyzer (`-image`). It only decides what can be
 * reused, so an image that is absent is worth an info, and one that cannot be read a warning; both have none.
 */
export async function readAppMetadata(
  name: string,
  read: (name: string) => Promise<KnownImage>,
  log: Log,
  signal: AbortSignal,
): Promise<ImageMetadata> {
  let text: string | undefined;
  try {
    const image = await read(name);
    const { labels } = await image.config();
    text = labels.get(label);
  } catch (error) {
    signal.throwIfAborted();
    if (isNotFound(error)) log.info(`App image ${quote(name)} not found`);
    else {
      const hint = error instanceof RegistryError && error.mayNotExist ? `. ${absentPerhaps}` : "";
      log.warn(`Not using layer metadata of the app image ${quote(name)}: ${describe(error)}${hint}`, "app-image");
    }
    return noMetadata;
  }
  if (text === undefined) {
    log.warn(`Not using layer metadata of the app image ${quote(name)}: it has no label ${label}`, "app-image");
    return noMetadata;
  }
  try {
    return parseMetadata(new TextEncoder().encode(text));
  } catch (error) {
    log.warn(
      `Not using layer metadata of the app image ${quote(name)}: label ${label}: ${describeParseError(error)}`,
      "app-image",
    );
    return noMetadata;
  }
}
