import type { ImagesPlan, RunImagePlan } from "../images/plan.ts";
import { inline } from "../text.ts";
import type { Found } from "./document-schemas.ts";

/** What a restore would do about build and run image, a line each; `explain` looks at neither. */
export function describeImages(plan: ImagesPlan | undefined): string[] {
  const { buildImage, runImage } = plan ?? {};
  return [
    ...(buildImage === undefined ? [] : [`Build image ${inline(buildImage)}: would be saved for the extender`]),
    ...(runImage === undefined ? [] : [`Run image ${inline(runImage.selected)}: ${whatOf(runImage).join(", ")}`]),
  ];
}

/** The same as data; null for an image that nothing is done about. */
export function imagesAsData(plan: ImagesPlan | undefined): Found<"explain">["images"] {
  const { buildImage, runImage } = plan ?? {};
  return {
    build: buildImage === undefined ? null : { image: buildImage, action: "save" },
    run:
      runImage === undefined
        ? null
        : {
            image: runImage.selected,
            action: runImage.action,
            isChecked: runImage.mirrors !== undefined,
            mirrors: [...(runImage.mirrors ?? [])],
            recordsTarget: runImage.target,
            completes: runImage.completion !== undefined,
          },
  };
}

function whatOf({ mirrors, action, target, completion }: RunImagePlan): string[] {
  const saved = target ? "its digest and target recorded" : "its digest recorded";
  return [
    ...(mirrors === undefined
      ? []
      : [
          `would be checked${mirrors.length > 0 ? `, with ${mirrors.map(inline).join(" and ")} to stand in for it` : ""}`,
        ]),
    ...(action === "save" ? [`would be saved for the extender, and ${saved}`] : []),
    ...(action === "record" ? [`would be looked at, and ${saved}`] : []),
    ...(completion === undefined ? [] : ["what analyzed.toml lacks of it would be filled in"]),
  ];
}
