import { resolve } from "node:path";
import { commands } from "../../lib/cli/commands.ts";
import { fullTextOf } from "../../lib/cli/flag-texts.ts";
import { flags, takes } from "../../lib/cli/flags.ts";
import { exitCodes } from "../../lib/cli/help.ts";
import { variables } from "../../lib/cli/variables.ts";
import { nextExportCodes } from "../../lib/desk/next-export.ts";
import { findingCodes } from "../../lib/desk/verify.ts";
import { errorCodes } from "../../lib/error-codes.ts";
import { outcomeCodes } from "../../lib/layers/outcomes.ts";
import { exportCodes } from "../../lib/pack/export-plan.ts";
import { warningCodes } from "../../lib/warnings.ts";
import { code, plain, table } from "./page.ts";
import { keysOf } from "./schema-keys.ts";
import { schemas } from "./schema-pages.ts";

export const referencePagePath = resolve(import.meta.dir, "../../docs/reference.md");

type Codes = Readonly<Record<string, string>>;

/** The text of docs/reference.md, made from the tables and schemas of the code. */
export function referencePage(): string {
  return `${[
    "# Reference",
    "This page is made from the tables and schemas of the code; a test holds it equal. What must happen is in\n[contract.md](contract.md), what to do with it in [debugging-a-cache.md](debugging-a-cache.md) and [scripts.md](scripts.md).",
    "## Commands",
    table(
      ["command", "what it does"],
      commands.map(({ name, words, summary }) => [code(["restorer", name, ...words].join(" ")), plain(summary)]),
    ),
    "`restorer -layers …`, without a command, is the restore. `CACHE`, `A` and `B` are a directory, an image reference or\n`oci:DIR[:TAG]`; `B` may be `layers:DIR`. `LAYER` is `buildpack:layer`, or any part of it that fits only one.",
    "## Flags",
    "Their variables, defaults and Platform APIs are in [flags.md](flags.md).",
    table(
      ["flag", "commands", "meaning"],
      flags.map((flag) => [
        code(flag.value === undefined ? `-${flag.name}` : `-${flag.name} ${flag.value}`),
        takersOf(flag.name),
        plain(fullTextOf(flag)),
      ]),
    ),
    "## Clouds' registries",
    "Where no credentials are configured the restorer signs in by itself to Amazon ECR, Azure ACR and Google's Artifact Registry and\nContainer Registry, as [cloud-registries.md](cloud-registries.md) tells; for [EKS](eks.md), [AKS](aks.md), [GKE](gke.md). These variables, set to\n`true`, forbid it:",
    table(
      ["variable", "meaning"],
      Object.entries(variables)
        .filter(([name]) => name.includes("_KEYCHAIN_SKIP_"))
        .map(([name, { description }]) => [code(name), plain(description.replace("true: ", ""))]),
    ),
    "## Exit codes",
    table(
      ["code", "meaning"],
      exitCodes.map(([number, meaning]) => [number, plain(meaning)]),
    ),
    "## Codes",
    "Each keeps its meaning in every version; new ones may come.",
    ...codes("Of layers, in a report and in `explain`", outcomeCodes),
    ...codes("Of warnings", warningCodes),
    ...codes("Of errors", errorCodes),
    ...codes("Of layers and blobs, in `verify` and `inspect`", findingCodes),
    ...codes("Of layers, in `diff CACHE layers:DIR`, beside those of `make-cache`", nextExportCodes),
    ...codes("Of layers, in `make-cache`", exportCodes),
    "## Reports and documents",
    "`[]` stands for each element of a list. A key that may be missing is marked with `?`.",
    ...Object.entries(schemas).flatMap(([name, [title, schema]]) => [
      `### ${title}`,
      `[${name}.schema.json](${name}.schema.json)`,
      table(
        ["key", "type", "meaning"],
        keysOf(schema).map(({ path, type, meaning }) => [code(path), plain(type), plain(meaning)]),
      ),
    ]),
  ].join("\n\n")}\n`;
}

function takersOf(name: string): string {
  const takers = commands.filter((command) => flags.some((flag) => flag.name === name && takes(command.name, flag)));
  return takers.length === commands.length ? "all" : takers.map((command) => command.name).join(", ");
}

function codes(title: string, meanings: Codes): string[] {
  return [
    `### ${title}`,
    table(
      ["code", "meaning"],
      Object.entries(meanings).map(([name, meaning]) => [code(name), plain(meaning)]),
    ),
  ];
}
