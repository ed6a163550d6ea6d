import type { ImageConfig } from "../oci/config.ts";

/** What the config of a base image tells. */
export type BaseConfig = Pick<ImageConfig, "os" | "architecture" | "variant" | "labels">;

/** An image that is looked at, but not saved. */
export interface KnownImage {
  /** As it is recorded in analyzed.toml: exactly this image, whatever its tag will mean later. Throws where that is not told. */
  readonly reference: string;
  /** May cost a request. */
  config(): Promise<BaseConfig>;
}

/** Whether an error says that an image does not exist, as opposed to: that it cannot be read. */
export function isNotFound(error: unknown): boolean {
  return error instanceof Error && "notFound" in error && error.notFound === true;
}
