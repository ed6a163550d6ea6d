import { readFileSync } from "node:fs";
import { dirname, join, normalize, resolve } from "node:path";

const project = resolve(import.meta.dir, "../..");

export interface Import {
  /** A file of the project, relative to it, or a package. */
  readonly from: string;
  readonly isTypeOnly: boolean;
  /** What is taken, without `as` and `type`; empty for `import(…)` and for whole modules. */
  readonly names: readonly string[];
}

export interface SourceFile {
  /** Relative to the project. */
  readonly path: string;
  readonly text: string;
  readonly imports: readonly Import[];
}

/** The program's source files, and what each imports. */
export function sourceFiles(): SourceFile[] {
  const paths = ["restorer.ts", ...new Bun.Glob("lib/**/*.ts").scanSync({ cwd: project })].sort();
  return paths.map((path) => {
    const text = readFileSync(join(project, path), "utf8");
    return { path, text, imports: importsOf(path, text) };
  });
}

const statement = /^(?:import|export)\s+(type\s+)?([^"';]*?)\s*from\s+"([^"]+)"/gm;
/** `import(…)`, `new URL(…)`, and an import for its effects. */
const expression = /(?:\b(?:import|new URL)\(\s*|^import\s+)"([^"]+)"/gm;

function importsOf(path: string, text: string): Import[] {
  const target = (name: string) => (name.startsWith(".") ? normalize(join(dirname(path), name)) : name);
  const statements = [...text.matchAll(statement)].map(([, type, names = "", from = ""]) => ({
    from: target(from),
    isTypeOnly: type !== undefined,
    names: namesIn(names),
  }));
  const expressions = [...text.matchAll(expression)].map(([, from = ""]) => ({
    from: target(from),
    isTypeOnly: false,
    names: [],
  }));
  return [...statements, ...expressions];
}

function namesIn(text: string): string[] {
  const braces = /\{([^}]*)\}/.exec(text)?.[1] ?? "";
  return braces.split(",").flatMap((part) => {
    const name = part
      .trim()
      .replace(/^type\s+/, "")
      .split(/\s+as\s+/)[0];
    return name === undefined || name === "" ? [] : [name];
  });
}

/** The room of a file: the folder of lib/ it lies in, or the file itself where it lies in none. */
export function roomOf(path: string): string {
  const [top, room, file] = path.split("/");
  return top === "lib" && room !== undefined && file !== undefined ? room : path;
}

/** A way from something back to itself; undefined where there is none. */
export function findCircle(graph: ReadonlyMap<string, ReadonlySet<string>>): string[] | undefined {
  const finished = new Set<string>();
  const way: string[] = [];
  const visit = (node: string): string[] | undefined => {
    if (way.includes(node)) return [...way.slice(way.indexOf(node)), node];
    if (finished.has(node)) return undefined;
    way.push(node);
    for (const next of graph.get(node) ?? []) {
      const circle = visit(next);
      if (circle !== undefined) return circle;
    }
    way.pop();
    finished.add(node);
    return undefined;
  };
  for (const node of graph.keys()) {
    const circle = visit(node);
    if (circle !== undefined) return circle;
  }
  return undefined;
}
