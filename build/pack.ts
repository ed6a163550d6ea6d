/**
 * Makes one self-contained file of the compiled executable, glibc's loader, libc and libm. The kernel maps all of it, and
 * nothing is copied. The loader is given memory files with the libraries' headers; what it maps of them a stub moves to where it
 * belongs. Then the loader starts the program as it always does.
 */
import { dynamicTag, Elf } from "./elf.ts";
import { type Library, Tail } from "./tail.ts";

/** From glibc 2.34 on these are empty, and libc has what was theirs. */
const mergedIntoLibc: readonly string[] = ["libpthread.so.0", "libdl.so.2"];
const oldestGlibc = [2, 34] as const;

/** What differs between the machines: the loader's name, and the largest page a kernel may have. */
const machines: Readonly<Record<string, { readonly loaderName: string; readonly page: number }>> = {
  x64: { loaderName: "ld-linux-x86-64.so.2", page: 0x1000 },
  arm64: { loaderName: "ld-linux-aarch64.so.1", page: 0x10000 },
};

interface Parts {
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
  const page = checkProgram(program);
  checkGlibc(loader, libc, libm);
  const libraries: Library[] = [
    { name: "libc.so.6", elf: new Elf(libc, "libc.so.6") },
    { name: "libm.so.6", elf: new Elf(libm, "libm.so.6") },
  ];
  for (const { name, elf } of [{ name: "the loader", elf: loaderElf }, ...libraries])
    if (elf.machine !== program.machine) throw new Error(`${name} is for another machine than the executable`);
  const tail = new Tail(program, loaderElf, libraries, { stub, page });
  pointNeededAt(program, tail);
  // The table that the loader is shown stays where it is; the kernel takes the new one.
  program.bytes.writeBigUInt64LE(BigInt(tail.stubAddress), 24);
  program.bytes.writeBigUInt64LE(BigInt(tail.fileOffset), 32);
  program.bytes.writeUInt16LE(tail.headers.length, 56);
  const gap = Buffer.alloc(tail.fileOffset - program.bytes.length);
  return Buffer.concat([program.bytes, gap, tail.bytes]);
}

/** Refuses an executable that this packer does not know; returns the largest page of its machine. */
function checkProgram(program: Elf): number {
  const machine = machines[program.machine ?? ""];
  if (machine === undefined) throw new Error(`the executable is for neither ${Object.keys(machines).join(" nor ")}`);
  if (program.type !== 2) throw new Error("the executable is not linked to fixed addresses, as Bun's was");
  const known = ["libc.so.6", "libm.so.6", ...mergedIntoLibc, machine.loaderName];
  const unknown = neededNames(program).filter((name) => !known.includes(name));
  if (unknown.length > 0)
    throw new Error(`the executable needs ${unknown.join(", ")}, which this packer does not know`);
  return machine.page;
}

/** Refuses another C library, an old one, and files of different ones. libm tells only what versions its symbols are of. */
function checkGlibc(loader: Buffer, libc: Buffer, libm: Buffer): void {
  const version = glibcVersion(libc);
  const [major, minor] = oldestGlibc;
  if (version === undefined) throw new Error("libc.so.6 is not glibc's: it names no version of it");
  if (version.major !== major || version.minor < minor) {
    throw new Error(`glibc ${version.major}.${version.minor} is too old: expected ${major}.${minor} or newer`);
  }
  const loaders = glibcVersion(loader)?.name ?? "a glibc that is not named";
  if (loaders !== version.name) throw new Error(`the loader is of ${loaders}, but libc.so.6 of ${version.name}`);
  const newest = Math.max(...[...libm.toString("latin1").matchAll(/\0GLIBC_2\.(\d+)/g)].map(([, n]) => Number(n)));
  if (newest === Number.NEGATIVE_INFINITY) throw new Error("libm.so.6 is not glibc's: it names no version of it");
  if (newest > version.minor)
    throw new Error(`libm.so.6 is of glibc 2.${newest} or newer, but libc.so.6 of ${version.name}`);
}

function neededNames(program: Elf): string[] {
  const needed = program.dynamic.filter(({ tag }) => tag === dynamicTag.needed);
  if (needed.length === 0) return [];
  const strings = program.offsetOf(program.dynamicValue(dynamicTag.strings));
  return needed.map(({ value }) => program.text(strings + value));
}

/** libc and the loader say their version in a sentence of their own. The name is that of the distribution's package, too. */
export function glibcVersion(file: Buffer): { name: string; major: number; minor: number } | undefined {
  const sentence = /(?:GNU C Library|ld\.so) (\([^\n]*version (\d+)\.(\d+)[^\n]*)/.exec(file.toString("latin1"));
  const [, name, major, minor] = sentence ?? [];
  return name === undefined ? undefined : { name, major: Number(major), minor: Number(minor) };
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
