import type { DeskCommand } from "../cli/commands.ts";
import type { Options } from "../cli/options.ts";
import type { Session } from "../session.ts";
import { ReaderGone, tryWriteText } from "../streams.ts";
import { Desk } from "./desk.ts";

/** A command's story: returns the exit code. */
type Story = (desk: Desk) => Promise<number>;

/** Each command is loaded only when it is asked for. */
const stories: Readonly<Record<DeskCommand, () => Promise<Story>>> = {
  explain: async () => (await import("./explain.ts")).explain,
  inspect: async () => (await import("./inspect.ts")).inspect,
  verify: async () => (await import("./verify.ts")).verify,
  diff: async () => (await import("./diff.ts")).diff,
  "make-cache": async () => (await import("./make-cache.ts")).makeCache,
  help: async () => (await import("./about.ts")).tellHelp,
  version: async () => (await import("./about.ts")).tellVersion,
  completion: async () => (await import("./about.ts")).tellCompletion,
};

/** What a command does at an author's desk: it shows what it finds on stdout. */
export function atDesk(command: DeskCommand): (session: Session, options: Options) => Promise<number> {
  return async (session, options) => {
    const story = await stories[command]();
    const desk = new Desk(session, options);
    try {
      return await story(desk);
    } catch (error) {
      if (desk.isJson && !desk.hasOutput && !(error instanceof ReaderGone)) {
        const { formatFailure } = await import("./documents.ts");
        desk.write(formatFailure(command, session.signal.aborted ? session.signal.reason : error));
      }
      throw error;
    } finally {
      desk.flush();
    }
  };
}

/** Tells as JSON why a command does not begin, be there one of that name or not. */
export function refusedAtDesk(command: string): (error: unknown) => Promise<void> {
  return async (error) => {
    const { formatFailure } = await import("./documents.ts");
    tryWriteText(1, formatFailure(command, error));
  };
}
