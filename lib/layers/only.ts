import { ExitCode, RestorerError } from "../failures.ts";
import { quote } from "../text.ts";
import type { LayerPlan, Plan, Subject } from "./layer-plan.ts";

type Named = Pick<Subject, "buildpack" | "layer">;

const whole = ({ buildpack, layer }: Named) => `${buildpack}:${layer}`;

/**
 * The one of these layers that is meant: by its whole name `buildpack:layer`, else by the name of the layer, else by that
 * and the end of its buildpack's id, else by any part of it that fits only one; undefined where none fits. Throws a
 * RestorerError (exit 3) where several do.
 */
export function findLayer<L extends Named>(layers: readonly L[], wanted: string): L | undefined {
  const ways: ((layer: L) => boolean)[] = [
    (layer) => whole(layer) === wanted,
    ({ layer }) => layer === wanted,
    (layer) => wanted.includes(":") && whole(layer).endsWith(wanted),
    (layer) => whole(layer).includes(wanted),
  ];
  for (const fits of ways) {
    const fitting = layers.filter(fits);
    const [only, ...others] = fitting;
    if (only !== undefined && others.length === 0) return only;
    if (only !== undefined)
      throw noOneLayer(`${quote(wanted)} fits ${list(fitting.map(whole))}`, "Say more of its name.");
  }
  return undefined;
}

/** As `findLayer`; throws `noSuchLayer` where none fits. */
export function chooseLayer<L extends Named>(layers: readonly L[], wanted: string): L {
  const found = findLayer(layers, wanted);
  if (found === undefined) throw noSuchLayer(layers, wanted);
  return found;
}

/** The RestorerError (exit 3) for a name that none of these layers has; `hint` where more is known than which there are. */
export function noSuchLayer(layers: readonly Named[], wanted: string, hint?: string): RestorerError {
  const all = layers.map(whole);
  const known = all.length === 0 ? "There are none." : `There are ${list(all)}.`;
  return noOneLayer(`no layer is called ${quote(wanted)}`, hint ?? known);
}

/** How many names a message shows. */
const shownNames = 12;

function list(names: readonly string[]): string {
  const shown = names.slice(0, shownNames).map(quote);
  const rest = names.length - shown.length;
  if (rest > 0) return `${shown.join(", ")} and ${rest} more`;
  return shown.length < 2 ? shown.join("") : `${shown.slice(0, -1).join(", ")} and ${shown.at(-1)}`;
}

function noOneLayer(message: string, hint: string): RestorerError {
  return new RestorerError(message, { exitCode: ExitCode.invalidArguments, code: "no-such-layer", hint });
}

/**
 * A plan for these layers alone: the others, store.toml and what else belongs to them are left as they are. Throws as
 * `findLayer` does; a name that no layer has is given to `onAbsent`.
 */
export function onlyLayers(plan: Plan, wanted: readonly string[], onAbsent: (name: string) => void): Plan {
  if (wanted.length === 0) return plan;
  const chosen = new Set(
    wanted.flatMap((name) => {
      const found = findLayer(plan.layers, name);
      if (found === undefined) onAbsent(name);
      return found ?? [];
    }),
  );
  const leave = ({ buildpack, directory, layer }: LayerPlan): LayerPlan => ({
    buildpack,
    directory,
    layer,
    action: "skip",
    code: "not-asked-for",
    reason: "not one of the layers that -only names",
  });
  return { ...plan, stores: [], layers: plan.layers.map((layer) => (chosen.has(layer) ? layer : leave(layer))) };
}
