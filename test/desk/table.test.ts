import { describe, expect, test } from "bun:test";
import { formatTable, wrap } from "../../lib/desk/table.ts";

const columns = [{ title: "ACTION" }, { title: "SIZE", align: "right" }, { title: "WHY" }] as const;
const why = "the cache holds other contents than those of the metadata: wrong sha";
const rows = [
  [{ text: "restore", color: "green" }, "378 kB", "cached"],
  ["remove", "-", why],
] as const;

describe("a table", () => {
  test("has one record a line where it goes to no terminal", () => {
    expect(formatTable(columns, rows)).toBe(`ACTION     SIZE  WHY\nrestore  378 kB  cached\nremove        -  ${why}\n`);
  });

  test("has its last column wrapped where that has room", () => {
    const lines = formatTable(columns, rows, { width: 60 }).split("\n");
    expect(lines.slice(2, 4)).toEqual([
      "remove        -  the cache holds other contents than those",
      "                 of the metadata: wrong sha",
    ]);
  });

  test("has it on lines of their own where it has none", () => {
    expect(formatTable(columns, rows, { width: 40 })).toBe(
      "ACTION     SIZE\n    WHY\nrestore  378 kB\n    cached\nremove        -\n    the cache holds other contents than\n    those of the metadata: wrong sha\n",
    );
  });

  test("has as many lines for a record as its columns need", () => {
    const wide = [{ title: "LAYER" }, { title: "SIZE", align: "right" }, { title: "FROM" }, { title: "WHY" }] as const;
    const records = [
      ["a/long-name:layer", "1 kB", "the app image", ""],
      ["b:layer", "10 kB", "", ""],
      ["c:layer", "-", "-", "it is stale"],
    ];
    expect(formatTable(wide, records, { width: 30 })).toBe(
      [
        "LAYER               SIZE",
        "    FROM           WHY",
        "a/long-name:layer   1 kB",
        "    the app image",
        "b:layer            10 kB",
        "c:layer                -",
        "    -              it is stale",
        "",
      ].join("\n"),
    );
  });

  test.each([40, 60, 80, 200])("fits into %d columns, and colours do not count", (width) => {
    const text = formatTable(columns, [...rows, ["refuse", "-", "x".repeat(300)], ["y".repeat(300), "-", "x"]], {
      width,
      colors: true,
    });
    for (const line of text.split("\n")) expect(Bun.stringWidth(line)).toBeLessThanOrEqual(width);
    expect(text).toContain("\x1b[32mrestore\x1b[0m");
  });
});

test("words that are longer than a line are broken anywhere", () => {
  expect(wrap("a bcdefghij", 6, 2)).toBe("a\n  bcde\n  fghi\n  j");
});
