import type { LayerData } from "../toml/layer-data.ts";
import type { Reason } from "./outcomes.ts";
import type { Stranger } from "./strangers.ts";
import type { Unreadable } from "./unreadable.ts";

/** Where the metadata of a layer comes from. */
export type MetadataSource = "app image" | "cache";

/** Whose layer, and where it stands. */
export interface Subject {
  readonly buildpack: string;
  /** Directory of the buildpack below the layers directory. */
  readonly directory: string;
  readonly layer: string;
}

/**
 * What happens to one layer, and why:
 * - `restore`: contents of diffID `sha` from the cache, `<layer>.toml` and SBOM files, all or none (D1);
 * - `metadata`: `<layer>.toml` and SBOM files only (a launch layer whose contents stay in the app image);
 * - `skip`: nothing; what stands of it is left;
 * - `remove`: what stands of it is removed;
 * - `refuse`: something is wrong with the cache or the metadata; what stands of it is removed where `removes` says so.
 */
export type LayerPlan = Subject & Decision;
/** A layer that comes back with its contents. */
export type RestorePlan = LayerPlan & { action: "restore" };
/** A layer of which only metadata comes back. */
export type MetadataPlan = LayerPlan & { action: "metadata" };

/** What happens to one layer, and why, without whose it is. */
export type Decision = Reason &
  (
    | (RestoredMetadata & { readonly action: "restore"; readonly sha: string })
    | (RestoredMetadata & { readonly action: "metadata" })
    | { readonly action: "skip" | "remove" }
    | { readonly action: "refuse"; readonly removes: boolean }
  );

interface RestoredMetadata {
  readonly source: MetadataSource;
  readonly data: LayerData;
}

/** A buildpack whose store.toml comes back. */
export interface StorePlan {
  readonly buildpack: string;
  readonly directory: string;
  readonly data: LayerData;
}

/** What happens to all layers, and what could not be decided about. */
export interface Plan {
  readonly layers: readonly LayerPlan[];
  readonly stores: readonly StorePlan[];
  /** Buildpacks whose id cannot be the name of a directory. */
  readonly refused: readonly RefusedBuildpack[];
  /** Buildpacks of the cache that the group lacks, of which nothing is restored. */
  readonly strangers: readonly Stranger[];
  readonly unreadable: readonly Unreadable[];
}

/** A buildpack of which nothing comes back. */
export interface RefusedBuildpack extends Reason {
  readonly buildpack: string;
}

/** Whether a layer comes back with its contents. */
export function isRestored(plan: LayerPlan): plan is RestorePlan {
  return plan.action === "restore";
}

/** Whether anything of a layer is written. */
export function isWritten({ action }: LayerPlan): boolean {
  return action === "restore" || action === "metadata";
}

/** Whether a layer goes that does not come back. */
export function isRemoved(plan: LayerPlan): boolean {
  return plan.action === "remove" || (plan.action === "refuse" && plan.removes);
}
