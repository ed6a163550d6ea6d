import { Slots } from "../slots.ts";
import type { Access } from "./access.ts";
import type { Scheme } from "./hosts.ts";
import { Patience, type Silence } from "./patience.ts";
import type { RegistryTiming } from "./timing.ts";

/** Connections that bring blobs from one registry at a time. */
export const connectionsOfRegistry = 8;

/** What is remembered of a registry. */
interface RegistryState {
  readonly patience: Patience;
  /** Connections that bring blobs. */
  readonly slots: Slots;
  /** Which scheme answered. */
  scheme: Scheme | undefined;
  /** By repository. */
  readonly accesses: Map<string, Access>;
}

/** What one client remembers of registries, by host; what it waits while they are silent adds up over all of them. */
export class RegistryStates {
  readonly #timing: RegistryTiming;
  readonly #silence: Silence;
  readonly #states = new Map<string, RegistryState>();

  constructor(timing: RegistryTiming) {
    this.#timing = timing;
    this.#silence = { totalMs: timing.silenceMs, spentMs: 0 };
  }

  /** Begun at the first call for a registry. */
  of(registry: string): RegistryState {
    const known = this.#states.get(registry);
    if (known !== undefined) return known;
    const patience = new Patience(registry, this.#silence, this.#timing.graceMs);
    const slots = new Slots(connectionsOfRegistry);
    const made: RegistryState = { patience, slots, scheme: undefined, accesses: new Map() };
    this.#states.set(registry, made);
    return made;
  }
}
