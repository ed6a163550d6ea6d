/** What of an ELF file (64 bit, little endian; elf(5)) the packer reads and changes. */

export const segmentType = {
  none: 0,
  load: 1,
  dynamic: 2,
  interpreter: 3,
  note: 4,
  header: 6,
  threadLocal: 7,
} as const;
export const dynamicTag = {
  end: 0,
  needed: 1,
  strings: 5,
  stringsSize: 10,
  debug: 21,
  versionsNeeded: 0x6ffffffe,
  versionsNeededCount: 0x6fffffff,
} as const;

export interface Segment {
  readonly type: number;
  /** 4 read, 2 write, 1 execute. */
  readonly flags: number;
  readonly offset: number;
  readonly address: number;
  readonly fileSize: number;
  readonly memorySize: number;
  readonly align: number;
}

interface DynamicEntry {
  /** Where in the file the entry stands; its value is 8 bytes behind. */
  readonly offset: number;
  readonly tag: number;
  readonly value: number;
}

export const segmentBytes = 56;
const sectionBytes = 64;
const machines: Readonly<Record<number, string>> = { 62: "x64", 183: "arm64" };

/** An ELF file in memory. Reading what is not there throws; the packer looks before it changes. */
export class Elf {
  readonly bytes: Buffer;

  /** Throws an Error for what is not such a file. */
  constructor(bytes: Buffer, name: string) {
    this.bytes = bytes;
    if (bytes.length < 64 || bytes.toString("latin1", 0, 6) !== "\x7fELF\x02\x01") {
      throw new Error(`${name} is not an ELF file of 64 bits, little endian`);
    }
  }

  /** The machine in Node's words; undefined for others. */
  get machine(): string | undefined {
    return machines[this.bytes.readUInt16LE(18)];
  }

  /** 2 for a program at fixed addresses, 3 for one that can lie anywhere. */
  get type(): number {
    return this.bytes.readUInt16LE(16);
  }

  get entry(): number {
    return this.word(24);
  }

  get headersOffset(): number {
    return this.word(32);
  }

  get segments(): Segment[] {
    const count = this.bytes.readUInt16LE(56);
    return Array.from({ length: count }, (_, index) => this.#segment(this.headersOffset + segmentBytes * index));
  }

  #segment(at: number): Segment {
    return {
      type: this.bytes.readUInt32LE(at),
      flags: this.bytes.readUInt32LE(at + 4),
      offset: this.word(at + 8),
      address: this.word(at + 16),
      fileSize: this.word(at + 32),
      memorySize: this.word(at + 40),
      align: this.word(at + 48),
    };
  }

  get loads(): Segment[] {
    return this.segments.filter(({ type }) => type === segmentType.load);
  }

  /** The entries of the dynamic section, up to its end. */
  get dynamic(): DynamicEntry[] {
    const segment = this.segments.find(({ type }) => type === segmentType.dynamic);
    if (segment === undefined) return [];
    const entries: DynamicEntry[] = [];
    for (let at = segment.offset; at < segment.offset + segment.fileSize; at += 16) {
      const tag = this.word(at);
      if (tag === dynamicTag.end) break;
      entries.push({ offset: at, tag, value: this.word(at + 8) });
    }
    return entries;
  }

  /** The value of a dynamic entry. Throws where there is none. */
  dynamicValue(tag: number): number {
    const found = this.dynamic.find((entry) => entry.tag === tag);
    if (found === undefined) throw new Error(`the dynamic section has no entry ${tag}`);
    return found.value;
  }

  /** Where in the file an address of the program lies. Throws where it lies in no segment of the file. */
  offsetOf(address: number): number {
    const segment = this.loads.find((one) => one.address <= address && address < one.address + one.fileSize);
    if (segment === undefined) throw new Error(`no segment of the file holds the address 0x${address.toString(16)}`);
    return address - segment.address + segment.offset;
  }

  /** The address at which a part of the file is mapped. */
  addressOf(offset: number): number {
    const segment = this.loads.find((one) => one.offset <= offset && offset < one.offset + one.fileSize);
    if (segment === undefined) throw new Error(`no segment maps the offset 0x${offset.toString(16)}`);
    return offset - segment.offset + segment.address;
  }

  /** Has the section that lies at an address lie elsewhere: debuggers go by sections, the loader does not. */
  moveSection(from: number, to: { address: number; offset: number; size: number }): void {
    const [table, count] = [this.word(40), this.bytes.readUInt16LE(60)];
    for (let at = table; at < table + sectionBytes * count; at += sectionBytes) {
      if (this.word(at + 16) !== from) continue;
      this.setWord(at + 16, to.address);
      this.setWord(at + 24, to.offset);
      this.setWord(at + 32, to.size);
    }
  }

  /** Text up to a NUL. */
  text(offset: number): string {
    return this.bytes.toString("latin1", offset, this.bytes.indexOf(0, offset));
  }

  word(offset: number): number {
    return Number(this.bytes.readBigUInt64LE(offset));
  }

  setWord(offset: number, value: number): void {
    this.bytes.writeBigUInt64LE(BigInt(value), offset);
  }
}

/** Writes a program header. */
export function writeSegment(into: Buffer, at: number, segment: Segment): void {
  into.writeUInt32LE(segment.type, at);
  into.writeUInt32LE(segment.flags, at + 4);
  const words = [segment.offset, segment.address, segment.address, segment.fileSize, segment.memorySize, segment.align];
  for (const [index, word] of words.entries()) into.writeBigUInt64LE(BigInt(word), at + 8 + 8 * index);
}
