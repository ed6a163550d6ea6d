/** How glibc's loader and libraries lie in memory, and what is changed in the loader. */
import { type Elf, segmentType } from "./elf.ts";

const preloadFile = "/etc/ld.so.preload";
/** The system call in the loader's mmap: its number, and the call. */
const mmapCalls: Readonly<Record<string, Buffer>> = {
  x64: Buffer.from("b8090000000f05", "hex"),
  arm64: Buffer.from("c81b80d2010000d4", "hex"),
};

export function up(n: number, align: number): number {
  return Math.ceil(n / align) * align;
}

/** An ELF file as it lies in memory: zeros for what has no bytes in the file. Throws where segments share a page. */
export function memoryImage({ loads, bytes }: Elf, page: number): Buffer {
  const image = Buffer.alloc(up(Math.max(...loads.map(({ address, memorySize }) => address + memorySize)), page));
  let free = 0;
  for (const { offset, address, fileSize } of loads) {
    if (address - (address % page) < free) throw new Error("a library has two segments in one page");
    bytes.copy(image, address, offset, offset + fileSize);
    free = up(address + fileSize, page);
  }
  return image;
}

/**
 * The loader in memory, changed in two places: it knows no file of others to preload, and its mmap goes to the stub, `hook`
 * bytes from its own beginning. `mmapEnd` is where the stub goes on afterwards.
 */
export function loaderImage(loader: Elf, page: number, hook: number): { image: Buffer; mmapEnd: number } {
  const image = memoryImage(loader, page);
  const preload = image.indexOf(`${preloadFile}\0`);
  if (preload === -1) throw new Error(`the loader does not name ${preloadFile}, as glibc's does`);
  image[preload] = 0;

  const call = mmapCalls[loader.machine ?? ""] ?? Buffer.alloc(0);
  const at = image.indexOf(call);
  if (at === -1 || image.indexOf(call, at + 1) !== -1) {
    throw new Error("the loader's call of mmap is not where this packer knows it from Debian's glibc");
  }
  if (loader.machine === "x64") {
    image[at] = 0xe9; // jmp
    image.writeInt32LE(hook - (at + 5), at + 1);
  } else {
    image.writeUInt32LE(0x14000000 + (((hook - at) / 4) & 0x3ffffff), at); // b
  }
  return { image, mmapEnd: at + call.length };
}

/** Throws where what the loader reads of a library, its headers and notes, is not in the first `size` bytes. */
export function checkHead({ segments, headersOffset }: Elf, name: string, size: number): void {
  const notes = segments.filter(({ type }) => type === segmentType.note || type === segmentType.header);
  const ends = notes.map(({ offset, fileSize }) => offset + fileSize);
  if (Math.max(headersOffset, ...ends) > size) throw new Error(`the headers of ${name} are longer than ${size} bytes`);
}
