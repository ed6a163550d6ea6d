/** What is put behind the executable: segments that the kernel maps, and the program headers that say so. */
import { dynamicTag, type Elf, type Segment, segmentBytes, segmentType, writeSegment } from "./elf.ts";
import { divert, loaderImage, memoryImage, shortenHead, trampolineBytes, up } from "./memory-image.ts";

/** A library that goes into the file, by the name under which the loader knows it. */
export interface Library {
  readonly name: "libc.so.6" | "libm.so.6";
  readonly elf: Elf;
}

/** The stub's words, which stand at its end; those of each library, and of each segment of one (see `cfg` in the stub). */
const configWords = 8;
const libraryWords = 7;
const segmentWords = 3;
/** What the loader reads of a library through a memory file: its headers and notes. All else it maps. */
const readOfLibrary = 0x1000;
/** Where the loader looks for a library: the stub puts the number of a memory file behind it. */
const descriptorPath = Buffer.from("/proc/self/fd/");
const descriptorDigits = 12;
/** Room for the new table of program headers. */
const headersRoom = 0x1000;

/** What a tail is made with beside the program and its libraries. */
interface Base {
  readonly stub: Buffer;
  /** The largest page of the machine. */
  readonly page: number;
}

/** The bytes behind the executable, and the program headers that have the kernel map them. */
export class Tail {
  /** Where it begins in the file, and in memory. */
  readonly fileOffset: number;
  readonly #base: number;
  readonly #page: number;
  readonly stubAddress: number;
  readonly headers: readonly Segment[];
  readonly bytes: Buffer;
  /** The copy of the executable's dynamic strings, with paths of libraries behind. */
  readonly strings: { readonly address: number; readonly offset: number; readonly size: number };
  /** Where in those strings the path of a library begins. */
  readonly paths: ReadonlyMap<string, number>;

  constructor(program: Elf, loader: Elf, libraries: readonly Library[], { stub, page }: Base) {
    this.#page = page;
    this.#base = up(Math.max(...program.loads.map(({ address, memorySize }) => address + memorySize)), 0x200000);
    this.fileOffset = up(program.bytes.length, page);

    const strings = stringsOf(program, libraries);
    const code = page;
    const { image, mmaps } = loaderImage(loader, page);
    const codeSize = stub.length + trampolineBytes * mmaps.length;
    const data = code + up(codeSize, page);
    let end = data + up(strings.bytes.length, page);
    const images = libraries.map(({ name, elf }) => {
      const at = end;
      const image = memoryImage(elf, page);
      shortenHead(elf, image, readOfLibrary);
      end += image.length;
      return { name, loads: elf.loads, at, image };
    });
    // Last, since the kernel puts the heap behind the last segment, and only this one is whole: the loader makes the others' zeros.
    const loaderAt = end;
    const hook = this.#base + code + Number(stub.readBigUInt64LE(stub.length - 8));
    const trampolines = mmaps.map((mmap, index) => {
      const at = code + stub.length + trampolineBytes * index;
      return { at, image: divert(image, mmap, { image: this.#base + loaderAt, trampoline: this.#base + at, hook }) };
    });
    const own = [{ at: code, image: stub }, ...trampolines, { at: data, image: strings.bytes }];
    const parts = [...own, ...images, { at: loaderAt, image }];
    this.bytes = Buffer.alloc(loaderAt + image.length);
    for (const part of parts) part.image.copy(this.bytes, part.at);
    this.stubAddress = this.#base + code;
    this.strings = { address: this.#base + data, offset: this.fileOffset + data, size: strings.size };
    this.paths = strings.paths;

    const placed = images.map((library, index) => this.#addLibrary(library, index, data, strings));
    this.#write(code + stub.length - 8 * configWords, [
      this.#base + data + strings.table,
      program.addressOf(program.headersOffset),
      program.segments.length,
      this.#base + loaderAt,
      this.#base + loaderAt + loader.entry,
      program.entry,
      debugAddress(program),
    ]);
    this.headers = this.#headersOf(program, [
      this.#segment(4, 0, headersRoom),
      this.#segment(5, code, codeSize),
      this.#segment(6, data, strings.bytes.length),
      ...placed.flat(),
      ...loader.loads.map(({ flags, address, memorySize }) => this.#segment(flags, loaderAt + address, memorySize)),
    ]);
    for (const [index, header] of this.headers.entries()) writeSegment(this.bytes, segmentBytes * index, header);
  }

  /** Writes the rows that the stub has for a library; returns the library's segments. `data` is where the strings are. */
  #addLibrary({ name, loads, at }: PlacedLibrary, index: number, data: number, strings: Strings): Segment[] {
    const row = data + strings.table + 8 * libraryWords * index;
    const segmentRows = data + strings.segments + 8 * segmentWords * maxSegments * index;
    const segments = this.#placeLibrary(loads, at);
    // Of a library's file nothing reads where its section headers are: the stub finds the library's row there.
    this.#write(at + 40, [this.#base + row]);
    this.#write(row, [
      this.#base + data + (strings.names.get(name) ?? 0),
      this.#base + at,
      readOfLibrary,
      this.#base + data + (strings.digits.get(name) ?? 0),
      0,
      this.#base + segmentRows,
      0,
    ]);
    const rows = segments.flatMap(({ address, fileSize }) => [address, fileSize, address - this.#base - at]);
    this.#write(segmentRows, rows);
    return segments;
  }

  #segment(flags: number, at: number, size: number): Segment {
    const [offset, address] = [this.fileOffset + at, this.#base + at];
    return { type: segmentType.load, flags, offset, address, fileSize: size, memorySize: size, align: this.#page };
  }

  /** The segments of a library, each from the beginning of a page of any size, without the zeros that the loader makes. */
  #placeLibrary(loads: readonly Segment[], at: number): Segment[] {
    return loads.map(({ flags, address, fileSize }) => {
      const start = address - (address % this.#page);
      return this.#segment(flags, at + start, address + fileSize - start);
    });
  }

  #headersOf(program: Elf, added: readonly Segment[]): Segment[] {
    const kept = program.segments.filter(({ type }) => type !== segmentType.interpreter && type !== segmentType.header);
    const isLoad = ({ type }: Segment) => type === segmentType.load;
    const all = [...kept.filter(isLoad), ...added, ...kept.filter((one) => !isLoad(one))];
    const size = segmentBytes * (all.length + 1);
    if (size > headersRoom)
      throw new Error(`the executable has ${program.segments.length} segments, more than expected`);
    return [{ ...this.#segment(4, 0, size), type: segmentType.header, align: 8 }, ...all];
  }

  #write(at: number, words: readonly number[]): void {
    for (const [index, word] of words.entries()) this.bytes.writeBigUInt64LE(BigInt(word), at + 8 * index);
  }
}

/** A library, and where its image begins in the tail. */
interface PlacedLibrary {
  readonly name: Library["name"];
  readonly loads: readonly Segment[];
  readonly at: number;
}

/** How many segments a library may have, and an empty row at the end. */
const maxSegments = 8;

interface Strings {
  readonly bytes: Buffer;
  /** Of what counts as dynamic strings. */
  readonly size: number;
  readonly paths: ReadonlyMap<string, number>;
  /** Where the stub writes a descriptor's number, and where the plain name stands. */
  readonly digits: ReadonlyMap<string, number>;
  readonly names: ReadonlyMap<string, number>;
  /** Where the table of libraries begins, with an empty row at its end, and that of their segments. */
  readonly table: number;
  readonly segments: number;
}

/** The executable's dynamic strings, what is to be put behind them, and the stub's tables. */
function stringsOf(program: Elf, libraries: readonly Library[]): Strings {
  const start = program.offsetOf(program.dynamicValue(dynamicTag.strings));
  const parts = [program.bytes.subarray(start, start + program.dynamicValue(dynamicTag.stringsSize))];
  let size = parts[0]?.length ?? 0;
  const add = (part: Buffer): number => {
    parts.push(part);
    size += part.length;
    return size - part.length;
  };
  const [paths, digits, names] = [new Map<string, number>(), new Map<string, number>(), new Map<string, number>()];
  for (const { name } of libraries) {
    paths.set(name, add(descriptorPath));
    digits.set(name, add(Buffer.alloc(descriptorDigits)));
  }
  const stringsSize = size;
  for (const { name } of libraries) names.set(name, add(Buffer.from(`${name}\0`)));
  add(Buffer.alloc(up(size, 16) - size));
  const table = add(Buffer.alloc(8 * libraryWords * (libraries.length + 1)));
  const segments = add(Buffer.alloc(8 * segmentWords * maxSegments * libraries.length));
  return { bytes: Buffer.concat(parts), size: stringsSize, paths, digits, names, table, segments };
}

/** Where the loader will put the address of its list of libraries (DT_DEBUG). */
function debugAddress(program: Elf): number {
  const entry = program.dynamic.find(({ tag }) => tag === dynamicTag.debug);
  if (entry === undefined) throw new Error("the executable has no DT_DEBUG entry, as Bun's had");
  return program.addressOf(entry.offset + 8);
}
