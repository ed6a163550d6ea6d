import { describe, expect, test } from "bun:test";
import { readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { availableParallelism } from "node:os";
import { Control } from "../../lib/archive/control.ts";
import { RingStopped } from "../../lib/archive/ring.ts";
import { SharedWrites } from "../../lib/archive/shared-writes.ts";
import { tempDir } from "../support/harness.ts";

/** The two sides, and memory that holds "one two three". */
function sides() {
  const text = "one two three";
  const [memory, ring, control] = [SharedWrites.memory(), new SharedArrayBuffer(text.length), new Control()];
  Buffer.from(ring).write(text);
  const [own, other] = [new SharedWrites(memory, ring, control), new SharedWrites(memory, ring, control)];
  const word = (index: number) =>
    Buffer.from(
      ring,
      text.split(" ").slice(0, index).join(" ").length + Number(index > 0),
      text.split(" ")[index]?.length,
    );
  return { own, other, control, word };
}

describe("files whose writing is shared", () => {
  test("are written by the other side, and the rest by the own one, with their modes", () => {
    using dir = tempDir("shared");
    const { own, other, word } = sides();
    expect(own.offer("a", dir.join("a"), 0o644, word(0))).toBe(true);
    expect(own.offer("b", dir.join("b"), 0o755, word(1))).toBe(true);
    expect(own.offer("ö", dir.join("\xff"), 0o600, word(2))).toBe(true);
    expect([other.help(), other.help()]).toEqual([true, true]);
    expect(readdirSync(dir.path).sort()).toEqual(["a", "b"]);
    expect(own.has("ö")).toBe(true);
    expect(own.settle()).toEqual([]);
    expect(own.has("ö")).toBe(false);
    expect(["a", "b"].map((name) => readFileSync(dir.join(name), "utf8"))).toEqual(["one", "two"]);
    expect(statSync(dir.join("b")).mode & 0o111).not.toBe(0);
    const bytes = Buffer.concat([Buffer.from(`${dir.path}/`), Buffer.from([0xff])]);
    expect(readFileSync(bytes, "utf8")).toBe("three");
    expect(other.help()).toBe(false);
  });

  test("come back by name and content where they cannot be written", () => {
    using dir = tempDir("shared");
    writeFileSync(dir.join("there"), "before");
    const { own, other, word } = sides();
    own.offer("a", dir.join("a"), 0o644, word(0));
    own.offer("there", dir.join("there"), 0o640, word(1));
    own.offer("nowhere", dir.join("no/where"), 0o644, word(2));
    while (other.help());
    expect(own.settle().map(({ name, mode, bytes }) => [name, mode, `${bytes}`])).toEqual([
      ["there", 0o640, "two"],
      ["nowhere", 0o644, "three"],
    ]);
    expect(readFileSync(dir.join("there"), "utf8")).toBe("before");
    expect(own.settle()).toEqual([]);
  });

  test("are not more than there is room for", () => {
    using dir = tempDir("shared");
    const { own, word } = sides();
    let offered = 0;
    while (own.offer(`${offered}`, dir.join(`${offered}`), 0o644, word(0))) offered += 1;
    expect(offered).toBeGreaterThan(100);
    expect(own.settle()).toEqual([]);
    expect(readdirSync(dir.path).length).toBe(offered);
    expect(own.offer("x".repeat(600), dir.join("x".repeat(600)), 0o644, word(0))).toBe(false);
    expect(own.offer("elsewhere", dir.join("elsewhere"), 0o644, Buffer.from("elsewhere"))).toBe(false);
  });

  test("are none while there are as many layers at work as cores", () => {
    using dir = tempDir("shared");
    const { own, control, word } = sides();
    for (let layer = 0; layer < availableParallelism(); layer++) control.begin();
    expect(own.offer("a", dir.join("a"), 0o644, word(0))).toBe(false);
    for (let layer = 0; layer < availableParallelism(); layer++) control.end();
    expect(own.offer("a", dir.join("a"), 0o644, word(0))).toBe(true);
  });

  test("are left once they are taken back, and not waited for when the run is cancelled", () => {
    using dir = tempDir("shared");
    const { own, other, control, word } = sides();
    own.offer("a", dir.join("a"), 0o644, word(0));
    own.abandon();
    expect(other.help()).toBe(false);
    expect(readdirSync(dir.path)).toEqual([]);
    control.cancel();
    expect(() => own.settle()).toThrow(RingStopped);
  });
});
