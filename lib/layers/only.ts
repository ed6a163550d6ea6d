import { ExitCode, RestorerError } from "../failures.ts";
import { quote } from "../text.ts";
import type { LayerPlan, Plan, Subject } from "./plan.ts";

/**
 * The one of these layers that is meant: by its whole name `buildpack:layer`, else by the name of the layer, else by any part
 * of it that fits only one. Throws a RestorerError (exit 3) where none or several fit.
 */
export function chooseLayer<L extends Pick<Subject, "buildpack" | "layer">>(layers: readonly L[], wanted: string): L {
  const whole = ({ buildpack, layer }: L) => `${buildpack}:${layer}`;
  const ways: ((layer: L) => boolean)[] = [
    (layer) => whole(layer) === wanted,
    ({ layer }) => layer === wanted,
    (layer) => whole(layer).includes(wanted),
  ];
  for (const fits of ways) {
    const fitting = layers.filter(fits);
    const [only, ...others] = fitting;
    if (only !== undefined && others.length === 0) return only;
    if (only !== undefined)
      throw noOneLayer(`${quote(wanted)} fits ${list(fitting.map(whole))}`, "Say more of its name.");
  }
  const all = layers.map(whole);
  throw noOneLayer(
    `no layer is called ${quote(wanted)}`,
    all.length === 0 ? "There are none." : `There are ${list(all)}.`,
  );
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

/** A plan for these layers alone: the others, store.toml and what else belongs to them are left as they are. Throws as `chooseLayer` does. */
export function onlyLayers(plan: Plan, wanted: readonly string[]): Plan {
  if (wanted.length === 0) return plan;
  const chosen = new Set(wanted.map((name) => chooseLayer(plan.layers, name)));
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
