/**
 * Makes one self-contained file of the compiled executable, glibc's loader, libc and libm. The kernel maps all of it; a stub
 * hands libc and libm to the loader as memory files, then the loader starts the program as it always does.
 */
import { dynamicTag, Elf, type Segment, segmentBytes, segmentType, writeSegment } from "./elf.ts";

/** A library that goes into the file, by the name under which the loader knows it. */
interface Library {
  readonly name: "libc.so.6" | "libm.so.6";
  readonly bytes: Buffer;
}

/** From glibc 2.34 on these are empty, and libc has what was theirs. */
const mergedIntoLibc: readonly string[] = ["libpthread.so.0", "libdl.so.2"];
const oldestGlibc = [2, 34] as const;
/** The stub's words, which stand at its end, and those of each library (see `cfg` and LIB_ in the stub). */
const configWords = 9;
const libraryWords = 5;
/** Where the loader looks for a library: the stub puts the number of a memory file behind it. */
const descriptorPath = Buffer.from("/proc/self/fd/");
const descriptorDigits = 12;
/** Room at the start of the new read-only segment for the new table of program headers. */
const headersRoom = 0x1000;
const preloadFile = "/etc/ld.so.preload";

/** What differs between the machines: the loader's name, and the largest page a kernel may have. */
const machines: Readonly<Record<string, { readonly loaderName: string; readonly page: number }>> = {
  x64: { loaderName: "ld-linux-x86-64.so.2", page: 0x1000 },
  arm64: { loaderName: "ld-linux-aarch64.so.1", page: 0x10000 },
};

const up = (n: number, align: number): number => Math.ceil(n / align) * align;

export interface Parts {
  readonly executable: Buffer;
  readonly loader: Buffer;
  readonly libc: Buffer;
  readonly libm: Buffer;
  /** For the executable's machine. */
  readonly stub: Buffer;
}

/** The bytes of the self-contained file. Throws an Error that says what of the parts is not as expected. */
export function pack({ executable, loader, libc, libm, stub }: Parts): Buffer {
  const program = new Elf(Buffer.from(executable), "the executable");
  const loaderElf = new Elf(loader, "the loader");
  const libraries: Library[] = [
    { name: "libc.so.6", bytes: libc },
    { name: "libm.so.6", bytes: libm },
  ];
  const page = check(program, loaderElf, libraries);
  const tail = new Tail(program, loaderElf, libraries, { stub, page });
  pointNeededAt(program, tail);
  // The table that the loader is shown stays where it is; the kernel takes the new one.
  program.bytes.writeBigUInt64LE(BigInt(tail.stubAddress), 24);
  program.bytes.writeBigUInt64LE(BigInt(tail.fileOffset), 32);
  program.bytes.writeUInt16LE(tail.headers.length, 56);
  const gap = Buffer.alloc(tail.fileOffset - program.bytes.length);
  return Buffer.concat([program.bytes, gap, tail.bytes]);
}

/** Refuses what this packer does not know; returns the largest page of the executable's machine. */
function check(program: Elf, loader: Elf, libraries: readonly Library[]): number {
  const machine = machines[program.machine ?? ""];
  if (machine === undefined) throw new Error(`the executable is for neither ${Object.keys(machines).join(" nor ")}`);
  if (program.type !== 2) throw new Error("the executable is not linked to fixed addresses, as Bun's was");
  if (loader.machine !== program.machine) throw new Error("the loader is for another machine than the executable");
  const known = [...libraries.map(({ name }) => name as string), ...mergedIntoLibc, machine.loaderName];
  const unknown = neededNames(program).filter((name) => !known.includes(name));
  if (unknown.length > 0)
    throw new Error(`the executable needs ${unknown.join(", ")}, which this packer does not know`);
  const version = glibcVersion(libraries[0]?.bytes ?? Buffer.alloc(0));
  const [major, minor] = oldestGlibc;
  if (version === undefined) throw new Error("libc.so.6 is not glibc's: it names no version of it");
  if (version[0] !== major || version[1] < minor) {
    throw new Error(`glibc ${version.join(".")} is too old: expected ${major}.${minor} or newer`);
  }
  return machine.page;
}

function neededNames(program: Elf): string[] {
  const needed = program.dynamic.filter(({ tag }) => tag === dynamicTag.needed);
  if (needed.length === 0) return [];
  const strings = program.offsetOf(program.dynamicValue(dynamicTag.strings));
  return needed.map(({ value }) => program.text(strings + value));
}

/** glibc says its version in a sentence of its own. */
export function glibcVersion(libc: Buffer): [number, number] | undefined {
  const match = /GNU C Library [^\n]*version (\d+)\.(\d+)/.exec(libc.toString("latin1"));
  return match === null ? undefined : [Number(match[1]), Number(match[2])];
}

/** What is put behind the executable: segments that the kernel maps, and the program headers that say so. */
class Tail {
  /** Where it begins in the file, and in memory. */
  readonly fileOffset: number;
  readonly #base: number;
  readonly #page: number;
  readonly stubAddress: number;
  readonly headers: readonly Segment[];
  readonly bytes: Buffer;
  /** The copy of the executable's dynamic strings, with paths of libraries behind: where in memory, and its size. */
  readonly strings: { readonly address: number; readonly offset: number; readonly size: number };
  /** Where in those strings the path of a library begins. */
  readonly paths: ReadonlyMap<string, number>;

  constructor(
    program: Elf,
    loader: Elf,
    libraries: readonly Library[],
    { stub, page }: { stub: Buffer; page: number },
  ) {
    const loads = program.loads;
    this.#page = page;
    this.#base = up(Math.max(...loads.map(({ address, memorySize }) => address + memorySize)), 0x200000);
    this.fileOffset = up(program.bytes.length, page);

    const { bytes: readOnly, offsets } = withHeadersRoom(libraries);
    const strings = stringsOf(program, libraries);
    const code = up(readOnly.length, page);
    const data = code + up(stub.length, page);
    const loaderAt = data + up(strings.bytes.length, page);
    const image = loaderImage(loader, page);
    this.bytes = Buffer.alloc(loaderAt + image.length);
    for (const [part, at] of [
      [readOnly, 0],
      [stub, code],
      [strings.bytes, data],
      [image, loaderAt],
    ] as const) {
      part.copy(this.bytes, at);
    }
    this.stubAddress = this.#base + code;
    this.strings = { address: this.#base + data, offset: this.fileOffset + data, size: strings.size };
    this.paths = strings.paths;

    for (const [index, { name, bytes }] of libraries.entries()) {
      const words = [strings.names.get(name) ?? 0, offsets[index] ?? 0, bytes.length, strings.digits.get(name) ?? 0, 0];
      const [nameAt = 0, bytesAt = 0, size = 0, digitsAt = 0] = words;
      const addresses = [this.#base + data + nameAt, this.#base + bytesAt, size, this.#base + data + digitsAt, 0];
      this.#write(data + strings.table + 8 * libraryWords * index, addresses);
    }
    const originalHeaders = program.addressOf(program.headersOffset);
    this.#write(code + stub.length - 8 * configWords, [
      this.#base + data + strings.table,
      originalHeaders,
      program.segments.length,
      this.#base + loaderAt,
      this.#base + loaderAt + loader.entry,
      program.entry,
      this.#base,
      up(readOnly.length, page),
      debugAddress(program),
    ]);
    this.headers = this.#headersOf(program, loader, { code, data, loaderAt, sizes: [readOnly, stub, strings.bytes] });
    for (const [index, header] of this.headers.entries()) writeSegment(this.bytes, segmentBytes * index, header);
  }

  #headersOf(
    program: Elf,
    loader: Elf,
    { code, data, loaderAt, sizes }: { code: number; data: number; loaderAt: number; sizes: readonly Buffer[] },
  ): Segment[] {
    const segment = (flags: number, at: number, size: number): Segment => ({
      type: segmentType.load,
      flags,
      offset: this.fileOffset + at,
      address: this.#base + at,
      fileSize: size,
      memorySize: size,
      align: this.#page,
    });
    const [readOnly = 0, stub = 0, strings = 0] = sizes.map(({ length }) => length);
    const added = [segment(4, 0, readOnly), segment(5, code, stub), segment(6, data, strings)];
    for (const { flags, address, memorySize } of loader.loads)
      added.push(segment(flags, loaderAt + address, memorySize));
    const kept = program.segments.filter(({ type }) => type !== segmentType.interpreter && type !== segmentType.header);
    const isLoad = ({ type }: Segment) => type === segmentType.load;
    const all = [...kept.filter(isLoad), ...added, ...kept.filter((one) => !isLoad(one))];
    const size = segmentBytes * (all.length + 1);
    if (size > headersRoom)
      throw new Error(`the executable has ${program.segments.length} segments, more than expected`);
    return [{ ...segment(4, 0, size), type: segmentType.header, align: 8 }, ...all];
  }

  #write(at: number, words: readonly number[]): void {
    for (const [index, word] of words.entries()) this.bytes.writeBigUInt64LE(BigInt(word), at + 8 * index);
  }
}

/** Room for the program headers, then the libraries as they are. */
function withHeadersRoom(libraries: readonly Library[]): { bytes: Buffer; offsets: number[] } {
  const offsets: number[] = [];
  let bytes = Buffer.alloc(headersRoom);
  for (const library of libraries) {
    bytes = Buffer.concat([bytes, Buffer.alloc(up(bytes.length, 64) - bytes.length)]);
    offsets.push(bytes.length);
    bytes = Buffer.concat([bytes, library.bytes]);
  }
  return { bytes, offsets };
}

interface Strings {
  readonly bytes: Buffer;
  /** Of what counts as dynamic strings. */
  readonly size: number;
  readonly paths: ReadonlyMap<string, number>;
  /** Where the stub writes a descriptor's number, and where the plain name stands. */
  readonly digits: ReadonlyMap<string, number>;
  readonly names: ReadonlyMap<string, number>;
  /** Where the table of libraries begins, with an empty row at its end. */
  readonly table: number;
}

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
  return { bytes: Buffer.concat(parts), size: stringsSize, paths, digits, names, table };
}

/** The loader as it lies in memory, zeros for what has no bytes in its file, and without a file of others to preload. */
function loaderImage(loader: Elf, page: number): Buffer {
  const end = Math.max(...loader.loads.map(({ address, memorySize }) => address + memorySize));
  const image = Buffer.alloc(up(end, page));
  for (const { offset, address, fileSize } of loader.loads)
    loader.bytes.copy(image, address, offset, offset + fileSize);
  const preload = image.indexOf(`${preloadFile}\0`);
  if (preload === -1) throw new Error(`the loader does not name ${preloadFile}, as glibc's does`);
  image[preload] = 0;
  return image;
}

/** Where the loader will put the address of its list of libraries (DT_DEBUG). */
function debugAddress(program: Elf): number {
  const entry = program.dynamic.find(({ tag }) => tag === dynamicTag.debug);
  if (entry === undefined) throw new Error("the executable has no DT_DEBUG entry, as Bun's had");
  return program.addressOf(entry.offset + 8);
}

/** Has the loader find the libraries at the paths of the memory files, by name and in the table of their versions. */
function pointNeededAt(program: Elf, { strings, paths }: Tail): void {
  const original = program.offsetOf(program.dynamicValue(dynamicTag.strings));
  const versions = program.offsetOf(program.dynamicValue(dynamicTag.versionsNeeded));
  const versionsCount = program.dynamicValue(dynamicTag.versionsNeededCount);
  const entries = program.dynamic;
  program.moveSection(program.dynamicValue(dynamicTag.strings), strings);
  const pathOf = (nameAt: number): number | undefined => {
    const name = program.text(original + nameAt);
    return paths.get(mergedIntoLibc.includes(name) ? "libc.so.6" : name);
  };
  for (let at = versions, left = versionsCount; left > 0; left--) {
    const path = pathOf(program.bytes.readUInt32LE(at + 4));
    if (path !== undefined) program.bytes.writeUInt32LE(path, at + 4);
    at += program.bytes.readUInt32LE(at + 12);
  }
  for (const { offset, tag, value } of entries) {
    const path = tag === dynamicTag.needed ? pathOf(value) : undefined;
    if (path !== undefined) program.setWord(offset + 8, path);
    if (tag === dynamicTag.strings) program.setWord(offset + 8, strings.address);
    if (tag === dynamicTag.stringsSize) program.setWord(offset + 8, strings.size);
  }
}
