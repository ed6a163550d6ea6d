import yargs from "yargs";
import { type Flag, flags } from "./flags.ts";

/**
 * The help text, grouped, with the default and environment variable of each flag. yargs is loaded only here: it formats
 * well, but costs more time to load than a restore without layers takes.
 */
export async function helpText(columns: number): Promise<string> {
  const parser = yargs([])
    .scriptName("restorer")
    .locale("en")
    .version(false)
    .help(false)
    .usage("Brings layers and metadata of an earlier build back before the next one.\n\nUsage: restorer [flags]")
    .wrap(Math.min(columns, 110))
    .epilogue(
      "Flags may be written -flag value, -flag=value or --flag; booleans take a value only with =. A flag wins over its\n" +
        "environment variable. Besides: CNB_PLATFORM_API (0.7 to 0.15; the newest when unset), CNB_EXEC_ENV (production),\n" +
        "CNB_REGISTRY_AUTH and CNB_REGISTRY_AUTH_FILE (credentials), HTTPS_PROXY, NO_PROXY, SSL_CERT_FILE, SSL_CERT_DIR.\n" +
        "Exit codes: 0 done (cache trouble is a warning), 1 failed, 3 bad arguments, 11 or 12 unsupported\n" +
        "Platform or Buildpack API, 42 layers cannot be written or -strict, 128+n stopped by signal n.",
    );
  for (const flag of flags) parser.option(flag.name, { group: `${flag.section}:`, describe: description(flag) });
  return (await parser.getHelp()).replace(/^( +)--/gm, "$1 -");
}

function description({ describe, value, environment, fallback, since }: Flag): string {
  const notes = [
    environment?.map((name) => `$${name}`).join(" or "),
    fallback && `default ${fallback}`,
    since && `since Platform API 0.${since}`,
  ].filter((note) => note);
  return `${value === undefined ? "" : `${value}: `}${describe}${notes.length > 0 ? ` [${notes.join("; ")}]` : ""}`;
}
