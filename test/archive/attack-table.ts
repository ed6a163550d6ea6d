import type { Attack } from "./attacks/attack.ts";
import { conflicts, kinds } from "./attacks/entries.ts";
import { extended } from "./attacks/extended-headers.ts";
import { hardLinks, throughLinks } from "./attacks/links.ts";
import { names } from "./attacks/names.ts";
import { dotDot, elsewhere } from "./attacks/places.ts";
import { sizes } from "./attacks/sizes.ts";
import { structure } from "./attacks/structure.ts";

/** Hostile and odd archives, what has to come of each, and how other extractors decide: the table, in chapters. */
export const attacks: Readonly<Record<string, readonly Attack[]>> = {
  "paths with ..": dotDot,
  "places elsewhere": elsewhere,
  "symbolic links": throughLinks,
  "hard links": hardLinks,
  "kinds of entries": kinds,
  names,
  conflicts,
  "sizes and numbers": sizes,
  "extended headers": extended,
  "structure and truncation": structure,
};
