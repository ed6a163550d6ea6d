import { digestReference, parseReference } from "../oci/reference.ts";
import type { Registry } from "../registry/registry.ts";
import type { Daemon } from "./daemon.ts";
import type { KnownImage } from "./known-image.ts";
import { readLayoutImage } from "./layout.ts";
import type { Source } from "./plan.ts";

/** Where a run's images are; what the plan does not need may be missing. */
export interface ImageSources {
  readonly registry: Registry | undefined;
  readonly daemon: Daemon | undefined;
  readonly layoutDir: string;
}

/** Looks at an image. Throws RestorerErrors; where the image does not exist, `isNotFound` holds for them. */
export async function readImage(source: Source, name: string, sources: ImageSources): Promise<KnownImage> {
  switch (source) {
    case "layout":
      return readLayoutImage(sources.layoutDir, name);
    case "daemon":
      if (sources.daemon === undefined) throw new Error("the daemon was not asked ahead");
      return sources.daemon.image(name);
    case "registry": {
      const registry = theRegistry(sources);
      const image = await registry.image(parseReference(name));
      return {
        reference: digestReference(image.reference, image.descriptor.digest),
        config: async () => (await registry.config(image)).config,
      };
    }
  }
}

/** The registry client, which whoever planned to use one has made. */
export function theRegistry({ registry }: ImageSources): Registry {
  if (registry === undefined) throw new Error("no registry client was made");
  return registry;
}
