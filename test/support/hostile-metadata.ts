import { many, manyKeys } from "./bounds.ts";

/** Metadata of a cache that no build writes. */
interface HostileMetadata {
  readonly what: string;
  /** The JSON, made of so many pieces. */
  readonly text: (pieces: number) => string;
  /** Why it is refused. */
  readonly says: RegExp;
  /** How its warning begins where it costs no more than a layer. */
  readonly warns?: string;
}

const beside = /holds more than the (200,000 values|8,388,608 bytes) beside the layers' own data that are allowed/;
const layer = (name: string, rest: string) => `${JSON.stringify(name)}:{"cache":true,${rest}}`;
const buildpack = (layers: string, more = "") => `{"buildpacks":[{"key":"bp",${more}"layers":{${layers}}}]}`;
const data = (layers: number, value: string) =>
  buildpack(manyKeys(layers, (at) => layer(`l${at}`, `"sha":"x","data":${value}`)));

/** Too much of everything that the metadata of a cache may hold. */
export const hostileMetadata: readonly HostileMetadata[] = [
  { what: "objects for buildpacks", text: (pieces) => `{"buildpacks":[${many("{}", pieces)}]}`, says: beside },
  { what: "arrays for buildpacks", text: (pieces) => `{"buildpacks":[${many("[]", pieces)}]}`, says: beside },
  { what: "strings for buildpacks", text: (pieces) => `{"buildpacks":[${many('""', pieces)}]}`, says: beside },
  { what: "numbers for buildpacks", text: (pieces) => `{"buildpacks":[${many("1", pieces)}]}`, says: beside },
  { what: "nulls for everything", text: (pieces) => `[${many("null", pieces)}]`, says: beside },
  { what: "keys of the root", text: (pieces) => `{${manyKeys(pieces / 4, (at) => `"k${at}":1`)}}`, says: beside },
  {
    what: "keys of a buildpack",
    text: (pieces) => buildpack("", `${manyKeys(pieces / 4, (at) => `"k${at}":1`)},`),
    says: beside,
  },
  { what: "layers", text: (pieces) => buildpack(manyKeys(pieces / 4, (at) => `"l${at}":{}`)), says: beside },
  {
    what: "one layer more than allowed",
    text: () => buildpack(manyKeys(10_001, (at) => `"l${at}":{}`)),
    says: /lists 10,001 layers, more than the 10,000 layers allowed/,
  },
  {
    what: "one buildpack more than allowed",
    text: () => `{"buildpacks":[${many("{}", 1001)}]}`,
    says: /lists 1,001 buildpacks, more than the 1,000 buildpacks allowed/,
  },
  {
    what: "members of a layer",
    text: (pieces) =>
      buildpack(
        layer(
          "deps",
          manyKeys(pieces / 4, (at) => `"k${at}":1`),
        ),
      ),
    says: beside,
  },
  {
    what: "an endless key of a buildpack",
    text: (pieces) => `{"buildpacks":[{"key":"${"k".repeat(10 * pieces)}","layers":{}}]}`,
    says: beside,
  },
  {
    what: "an endless name of a layer",
    text: (pieces) => buildpack(layer("l".repeat(10 * pieces), '"sha":"x"')),
    says: beside,
  },
  {
    what: "an endless digest",
    text: (pieces) => buildpack(layer("deps", `"sha":"${"a".repeat(10 * pieces)}"`)),
    says: /metadata of it cannot be used: sha: expected a string, found an array/,
    warns: 'Warning: Not restoring "bp:deps": ',
  },
  { what: "white space", text: (pieces) => `{"buildpacks":[]}${" ".repeat(10 * pieces)}`, says: beside },
  { what: "brackets that nobody closes", text: (pieces) => "[".repeat(10 * pieces), says: /JSON/ },
  { what: "brackets that nobody opened", text: (pieces) => "]".repeat(10 * pieces), says: /JSON|beside/ },
  { what: "quotes and backslashes", text: (pieces) => '"\\'.repeat(2 * pieces), says: /JSON|beside/ },
  {
    what: "just more data of all layers than allowed",
    text: () => data(62, `[${many("1", 49_000)}]`),
    says: /holds more than the 3,000,000 values that are allowed/,
  },
];
