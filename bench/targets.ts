import type { Cost } from "./measure.ts";
import type { Targets } from "./rows.ts";
import { mebibytes } from "./table.ts";

/** A row's medians. */
export interface Measurement {
  readonly name: string;
  readonly targets: Targets;
  readonly own: Cost | undefined;
  readonly tar: Cost | undefined;
  readonly reference: Cost | undefined;
}

export const targetHeadings = ["row", "compared with", "target", "measured", ""];

/** One line for every target of the rows, with what was measured and whether that is enough. */
export function targetLines(measured: readonly Measurement[]): string[][] {
  return measured.flatMap(({ name, targets, own, tar, reference }) => {
    const { referenceRow = name } = targets;
    const other = referenceRow === name ? reference : measured.find((row) => row.name === referenceRow)?.reference;
    const stretch = targets.stretch === undefined ? "" : `, stretch ${targets.stretch}`;
    const against = referenceRow === name ? "reference" : `reference, ${referenceRow}`;
    return [
      ...ratioLine(name, against, targets.reference, stretch, own, other),
      ...ratioLine(name, "tar x ∥ openssl", targets.tar, "", own, tar),
      ...memoryLine(name, targets.rssMiB, own),
    ];
  });
}

function ratioLine(
  name: string,
  against: string,
  target: number | undefined,
  stretch: string,
  own: Cost | undefined,
  other: Cost | undefined,
): string[][] {
  if (target === undefined) return [];
  const aim = `≤ ${target.toFixed(2)}×${stretch}`;
  if (own === undefined || other === undefined) return [[name, against, aim, "–", "not measured"]];
  const ratio = own.wallMs / other.wallMs;
  return [[name, against, aim, `${ratio.toFixed(2)}×`, verdict(ratio <= target)]];
}

function memoryLine(name: string, target: number | undefined, own: Cost | undefined): string[][] {
  if (target === undefined || own === undefined) return [];
  return [[name, "peak RSS", `≤ ${target} MiB`, mebibytes(own.rssBytes), verdict(own.rssBytes <= target * 2 ** 20)]];
}

function verdict(isMet: boolean): string {
  return isMet ? "met" : "MISSED";
}
