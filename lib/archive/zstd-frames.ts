type Field = "magic" | "descriptor" | "block" | "length";

const frameMagic = [0x28, 0xb5, 0x2f, 0xfd];
/** The first byte may be 0x50 to 0x5f. */
const skippableMagic = [0x50, 0x2a, 0x4d, 0x18];

/**
 * Follows the frames of zstd data (RFC 8878, section 3.1) without decoding them. The decoder does not say whether a frame
 * has ended with its input, so that what comes after it, or the lack of it, would go by where the chunks end.
 */
export class ZstdFrames {
  /** Bytes to pass over before the next field. */
  #skip = 0;
  /** The field that comes next, how many bytes it has, and those of them that are there already, the lowest first. */
  #field: Field = "magic";
  #size = 4;
  #value = 0;
  #got = 0;
  #checksum = 0;

  /** Whether the data may end here. */
  get complete(): boolean {
    return this.#field === "magic" && this.#got === 0 && this.#skip === 0;
  }

  /** Takes in the next bytes; returns the position of the first one that is of no frame, or their number. */
  follow(bytes: Buffer): number {
    for (let at = 0; at < bytes.length; ) {
      if (this.#skip > 0) {
        const passed = Math.min(this.#skip, bytes.length - at);
        this.#skip -= passed;
        at += passed;
        continue;
      }
      const byte = bytes[at] ?? 0;
      if (this.#field === "magic" && !this.#isMagic(byte)) return at;
      at++;
      this.#value += byte * 2 ** (8 * this.#got++);
      if (this.#got === this.#size) this.#read(this.#value);
    }
    return bytes.length;
  }

  #isMagic(byte: number): boolean {
    if (this.#got === 0) return byte === frameMagic[0] || (byte & 0xf0) === skippableMagic[0];
    return byte === (this.#isFrame() ? frameMagic : skippableMagic)[this.#got];
  }

  #isFrame(): boolean {
    return this.#value % 256 === frameMagic[0];
  }

  #read(value: number): void {
    switch (this.#field) {
      case "magic":
        if (this.#isFrame()) this.#expect("descriptor", 1, 0);
        else this.#expect("length", 4, 0);
        break;
      case "length":
        this.#expect("magic", 4, value);
        break;
      case "descriptor": {
        const single = (value >> 5) & 1;
        this.#checksum = value & 4;
        const dictionary = [0, 1, 2, 4][value & 3] ?? 0;
        const content = [single, 2, 4, 8][value >> 6] ?? 0;
        this.#expect("block", 3, 1 - single + dictionary + content);
        break;
      }
      case "block": {
        const isLast = (value & 1) === 1;
        const isRun = ((value >> 1) & 3) === 1;
        const length = isRun ? 1 : value >> 3;
        if (isLast) this.#expect("magic", 4, length + this.#checksum);
        else this.#expect("block", 3, length);
      }
    }
  }

  #expect(field: Field, size: number, skip: number): void {
    [this.#field, this.#size, this.#skip] = [field, size, skip];
    [this.#value, this.#got] = [0, 0];
  }
}
