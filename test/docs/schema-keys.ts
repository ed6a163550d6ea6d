import { toJsonSchema } from "@valibot/to-json-schema";
import * as v from "valibot";

/** What of a JSON schema tells its keys. */
interface Node {
  readonly type?: string | undefined;
  readonly const?: unknown;
  readonly enum?: readonly unknown[] | undefined;
  readonly description?: string | undefined;
  readonly properties?: Readonly<Record<string, Node>> | undefined;
  readonly required?: readonly string[] | undefined;
  readonly items?: Node | undefined;
  readonly anyOf?: readonly Node[] | undefined;
}

const nodeSchema: v.GenericSchema<Node> = v.object({
  type: v.optional(v.string()),
  const: v.optional(v.unknown()),
  enum: v.optional(v.array(v.unknown())),
  description: v.optional(v.string()),
  properties: v.optional(
    v.record(
      v.string(),
      v.lazy(() => nodeSchema),
    ),
  ),
  required: v.optional(v.array(v.string())),
  items: v.optional(v.lazy(() => nodeSchema)),
  anyOf: v.optional(v.array(v.lazy(() => nodeSchema))),
});

interface Key {
  /** `layers[].sha?` */
  readonly path: string;
  readonly type: string;
  readonly meaning: string;
}

/** The keys of what a schema describes, and of what is in them. */
export function keysOf(schema: v.GenericSchema): Key[] {
  return keysBelow(v.parse(nodeSchema, toJsonSchema(schema, { typeMode: "output" })), "");
}

function keysBelow(node: Node, path: string): Key[] {
  const { properties = {}, required = [] } = node;
  return Object.entries(properties).flatMap(([name, child]): Key[] => {
    const own = `${path === "" ? "" : `${path}.`}${name}`;
    const [inner, isNullable] = withoutNull(child);
    const marked = required.includes(name) ? own : `${own}?`;
    const type = `${typeOf(inner)}${isNullable ? ", or null" : ""}`;
    const below = inner.items === undefined ? keysBelow(inner, own) : keysBelow(inner.items, `${own}[]`);
    return [{ path: marked, type, meaning: inner.description ?? child.description ?? "" }, ...below];
  });
}

function withoutNull(node: Node): [Node, boolean] {
  const [other, ...more] = (node.anyOf ?? []).filter(({ type }) => type !== "null");
  return other === undefined || more.length > 0 ? [node, false] : [other, true];
}

function typeOf({ type, const: only, enum: several, items }: Node): string {
  if (only !== undefined) return JSON.stringify(only);
  if (several !== undefined) return several.map((one) => JSON.stringify(one)).join(" or ");
  if (items !== undefined) return `list of ${typeOf(items)}s`;
  return type ?? "anything";
}
