import { aheadBytes } from "../archive/read-ahead.ts";
import { Stopped } from "../failures.ts";
import { count, formatBytes, thousands } from "../text.ts";
import type { RestorePlan } from "./layer-plan.ts";

/** A layer to restore, and the bytes of its blob. */
interface Sized {
  readonly plan: RestorePlan;
  readonly size: number;
}

/**
 * In which order layers are restored: the largest first, so that none is left to run alone at the end; and small ones, which
 * cost little but the way to their place, buildpack by buildpack.
 */
export function inOrder(
  plans: readonly RestorePlan[],
  sizeOf: (plan: RestorePlan) => number,
  isSmall: (size: number) => boolean,
): { readonly large: readonly Sized[]; readonly small: readonly Sized[] } {
  const sized = plans.map((plan) => ({ plan, size: sizeOf(plan) }));
  return {
    large: sized.filter(({ size }) => !isSmall(size)).sort((a, b) => b.size - a.size),
    small: sized.filter(({ size }) => isSmall(size)).sort(byDirectory),
  };
}

function byDirectory({ plan: a }: Sized, { plan: b }: Sized): number {
  return a.directory < b.directory ? -1 : Number(a.directory > b.directory);
}

/** Works on layers in their order, so many at a time; `coming` are those that come soon. */
export function sideBySide(
  sized: readonly Sized[],
  most: number,
  work: (plan: RestorePlan, coming: readonly Sized[]) => Promise<void>,
): Promise<void>[] {
  let next = 0;
  const lane = async () => {
    for (let one = sized[next++]; one !== undefined; one = sized[next++]) {
      await work(one.plan, comingNext(sized, Math.max(next, most)));
    }
  };
  return Array.from({ length: Math.min(most, sized.length) }, lane);
}

/** Blobs that are asked for before they are wanted, and bytes of them that are kept. */
const mostAhead = { blobs: 6, bytes: 4 * aheadBytes };

/** Which layers come next, from one on, so that their blobs may be on their way: of large ones four, of small ones some more. */
export function comingNext<S extends { readonly size: number }>(sized: readonly S[], from: number): readonly S[] {
  let bytes = 0;
  return sized.slice(from, from + mostAhead.blobs).filter(({ size }) => {
    bytes += Math.min(size, aheadBytes);
    return bytes <= mostAhead.bytes;
  });
}

/** How far a restore is, for people: layers done, bytes read. */
export function describeProgress(done: number, layers: number, bytes: number, total: number): string {
  const percent = total === 0 ? 0 : Math.floor((100 * bytes) / total);
  return `Restoring: ${thousands(done)} of ${count(layers, "layer")}, ${formatBytes(bytes)} of ${formatBytes(total)}, ${percent}%`;
}

/** Throws what made work fail that went on side by side, rather than what was given up for it. */
export function throwFailure(results: readonly PromiseSettledResult<void>[]): void {
  const failures = results.flatMap((result) => (result.status === "rejected" ? [result.reason] : []));
  if (failures.length > 0) throw failures.find((failure) => !(failure instanceof Stopped)) ?? failures[0];
}
