/** One way to authenticate that a server offers (RFC 9110, section 11.6.1). */
export interface Challenge {
  /** In lower case: `basic`, `bearer`, `negotiate`. */
  readonly scheme: string;
  /** Names in lower case; values without quotes and escapes. */
  readonly parameters: ReadonlyMap<string, string>;
}

const token = /[!#$%&'*+.^_`|~0-9a-z-]+/iy;
const token68 = /[a-z0-9._~+/-]+=*(?=[ \t]*(?:,|$))/iy;
/** Some servers leave the quotes out of an address. */
const bare = /[^\s",=][^\s",]*/y;
const quoted = /"((?:[^"\\]|\\.)*)"/sy;
const separators = /[ \t,]*/y;
const equals = /[ \t]*=[ \t]*/y;
const spaces = /[ \t]+/y;

/**
 * Parses the value of `WWW-Authenticate`, in which a server may offer several challenges; several headers arrive joined by
 * a comma. A comma separates both challenges and parameters: a word without `=` begins the next challenge. What cannot be
 * parsed ends the list: a server's mistake never throws.
 */
export function parseChallenges(header: string): Challenge[] {
  let position = 0;
  const take = (pattern: RegExp): RegExpExecArray | null => {
    pattern.lastIndex = position;
    const match = pattern.exec(header);
    if (match !== null) position = pattern.lastIndex;
    return match;
  };
  const parameter = (): [string, string] | undefined => {
    const before = position;
    const name = take(token)?.[0];
    if (name !== undefined && take(equals) !== null) {
      const value = take(quoted)?.[1]?.replace(/\\(.)/gs, "$1") ?? take(bare)?.[0];
      if (value !== undefined) return [name.toLowerCase(), value];
    }
    position = before;
    return undefined;
  };

  const challenges: Challenge[] = [];
  for (take(separators); position < header.length; take(separators)) {
    const scheme = take(token)?.[0];
    if (scheme === undefined) break;
    const parameters = new Map<string, string>();
    if (take(spaces) !== null) {
      for (let pair = parameter(); pair !== undefined; pair = parameter()) {
        if (!parameters.has(pair[0])) parameters.set(...pair);
        take(separators);
      }
      // Credentials in one piece (Negotiate, NTLM): of no use here, but they must not be taken for a scheme.
      if (parameters.size === 0 && !/[ \t]*,/y.test(header.slice(position))) take(token68);
    }
    challenges.push({ scheme: scheme.toLowerCase(), parameters });
  }
  return challenges;
}
