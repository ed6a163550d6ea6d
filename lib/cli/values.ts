import { join, resolve } from "node:path";
import type { Environment } from "../environment.ts";
import { quote } from "../text.ts";
import { type Arguments, invalid, maxId, parseBoolean, parseId } from "./arguments.ts";
import type { CommandName } from "./commands.ts";
import type { Flag } from "./flag.ts";
import { type DefaultedFlag, type FlagName, flagNamed, takes } from "./flags.ts";

/**
 * The value of each flag, by the rule of contract §1: what the command line gives, else the environment, else the default
 * of the table in `flags`. A command reads no variable of a flag that it does not take. Throws RestorerErrors (exit 3).
 */
export class Values {
  /** What was found wrong in the environment, and is as if unset. */
  readonly warnings: string[] = [];
  readonly #given: Arguments;
  readonly #env: Environment;
  readonly #command: CommandName;

  constructor(given: Arguments, env: Environment, command: CommandName = "restore") {
    this.#given = given;
    this.#env = env;
    this.#command = command;
  }

  get layersDir(): string {
    return resolve(this.text("layers"));
  }

  /** Text that is not empty; a flag given as empty hides the environment, too. */
  text(name: DefaultedFlag & FlagName<"text">): string;
  text(name: FlagName<"text">): string | undefined;
  text(name: FlagName<"text">): string | undefined {
    const given = this.#given.text.get(name) ?? this.#fromEnvironment(name)?.value;
    return given ? given : this.#default(name);
  }

  boolean(name: FlagName<"boolean">): boolean {
    const given = this.#given.booleans.get(name);
    if (given !== undefined) return given;
    const { variables = [], anyValueOf, isSafetySwitch = false } = this.#settable(name) ?? {};
    if (anyValueOf !== undefined && this.#env[anyValueOf]) return true;
    for (const variable of variables) if (this.#isTrue(variable, isSafetySwitch)) return true;
    return false;
  }

  /** All values of a flag that may repeat; in the environment they are separated by commas. */
  list(name: FlagName<"list">): readonly string[] {
    const given = this.#given.lists.get(name);
    if (given !== undefined) return given;
    const found = this.#fromEnvironment(name);
    if (found === undefined) return [];
    const parts = found.value.split(",");
    return parts.map((part) => part.trim()).filter((part) => part !== "");
  }

  /** A user or group id. Go reads flags by their prefix (0x…, 0o…), but the environment as decimal. */
  id(name: FlagName<"id">): number | undefined {
    const given = this.#given.text.get(name);
    if (given !== undefined) return this.#idOr(parseId(given), name);
    const value = this.#fromEnvironment(name)?.value;
    if (value === undefined) return undefined;
    if (/^[+-]?[0-9]+$/.test(value)) return this.#idOr(parseId(String(Number(value))), name);
    this.warnings.push(`${this.spelled(name)} is not a number, ignoring it`);
    return undefined;
  }

  #idOr(id: number | undefined, name: FlagName<"id">): number {
    if (id !== undefined) return id;
    throw invalid(`${this.spelled(name)} is not an id from 0 to ${maxId}`);
  }

  /** A value for messages, with where it came from: `-uid "x"`, or `CNB_USER_ID="x"`. */
  spelled(name: FlagName<"text" | "id">): string {
    const given = this.#given.text.get(name);
    const found = given === undefined ? this.#fromEnvironment(name) : undefined;
    return found === undefined ? `-${name} ${quote(given ?? "")}` : `${found.variable}=${quote(found.value)}`;
  }

  /** The flag whose variables count. */
  #settable(name: string): Flag | undefined {
    const flag = flagNamed(name);
    return flag !== undefined && takes(this.#command, flag) ? flag : undefined;
  }

  #fromEnvironment(name: string): { variable: string; value: string } | undefined {
    const [variable] = this.#settable(name)?.variables ?? [];
    const value = variable === undefined ? undefined : this.#env[variable];
    return variable !== undefined && value ? { variable, value } : undefined;
  }

  /**
   * Whether a variable is true; one that is not a boolean is false, as for the reference, but not without a word, and not
   * where safety hangs on it (D23).
   */
  #isTrue(variable: string, isSafetySwitch: boolean): boolean {
    const text = this.#env[variable] ?? "";
    if (text === "") return false;
    const value = parseBoolean(text);
    if (value === undefined) {
      if (isSafetySwitch) throw invalid(`${variable}=${quote(text)} is neither true nor false`);
      this.warnings.push(`${variable}=${quote(text)} is neither true nor false, taking it for false`);
    }
    return value === true;
  }

  #default(name: string): string | undefined {
    const text = flagNamed(name)?.default;
    const prefix = "<layers>/";
    return text?.startsWith(prefix) ? join(this.layersDir, text.slice(prefix.length)) : text;
  }
}
