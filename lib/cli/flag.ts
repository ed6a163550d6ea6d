import type { PlatformFeature } from "../platform-api.ts";
import type { CommandName } from "./commands.ts";

/** A flag of the command line (contract §1): the one place for its name, its variables, its default and what it means. */
export interface Flag {
  readonly name: string;
  readonly kind: "text" | "boolean" | "list" | "id";
  readonly section: "Inputs" | "Cache" | "Images" | "User" | "Output" | "Other";
  /** What stands for the value in help. */
  readonly value?: string;
  /** All values that it knows, for shells that complete them. */
  readonly choices?: readonly string[];
  /** The feature that it came with; older Platform APIs do not know the flag. */
  readonly since?: PlatformFeature;
  /** Environment variables that stand in for it. Of a boolean any may be true, of others there is one. */
  readonly variables?: readonly string[];
  /** A variable that is neither true nor false ends the run: of a safety switch nobody may guess what was meant. */
  readonly isSafetySwitch?: boolean;
  /** A variable that means true when it is set to anything at all (no-color.org). */
  readonly anyValueOf?: string;
  /** Which commands take it; those that do what a restore would, where nothing is said. */
  readonly commands?: "all" | readonly CommandName[];
  /** `<layers>` stands for the layers directory. */
  readonly default?: string;
  /** `flag-texts.ts` has others, for commands to which it means something else. */
  readonly description: string;
}
