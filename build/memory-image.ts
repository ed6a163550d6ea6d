/** How glibc's loader and libraries lie in memory, and what is changed in the loader. */
import { type Elf, segmentBytes, segmentType } from "./elf.ts";

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

/** The loader in memory, without the file of others to preload, and the places in it where mmap is called. */
export function loaderImage(loader: Elf, page: number): { image: Buffer; mmaps: number[] } {
  const image = memoryImage(loader, page);
  const preload = image.indexOf(`${preloadFile}\0`);
  if (preload === -1) throw new Error(`the loader does not name ${preloadFile}, as glibc's does`);
  image[preload] = 0;

  const call = mmapCalls[loader.machine ?? ""] ?? Buffer.from("none");
  const mmaps: number[] = [];
  for (let at = image.indexOf(call); at !== -1; at = image.indexOf(call, at + call.length)) mmaps.push(at);
  if (mmaps.length === 0)
    throw new Error("the loader does not call mmap as it does in the glibc that this packer knows");
  return { image, mmaps };
}

/** The bytes of what {@link divert} makes for each call. */
export const trampolineBytes = 12;

/**
 * Leads a call of mmap in the loader's image to the stub's hook, by way of a trampoline that tells where to go on: in r11 on
 * x86-64, in x16 on arm64. All places are addresses in memory.
 *
 * @returns the trampoline, for its address
 */
export function divert(image: Buffer, at: number, to: { image: number; trampoline: number; hook: number }): Buffer {
  const [from, trampoline] = [to.image + at, Buffer.alloc(trampolineBytes)];
  if (image[at] === mmapCalls["x64"]?.[0]) {
    const back = from + 7;
    image[at] = 0xe9; // jmp
    image.writeInt32LE(to.trampoline - (from + 5), at + 1);
    trampoline.write("4c8d1d", "hex"); // lea r11, [rip + …]
    trampoline.writeInt32LE(back - (to.trampoline + 7), 3);
    trampoline[7] = 0xe9;
    trampoline.writeInt32LE(to.hook - (to.trampoline + 12), 8);
  } else {
    const back = from + 8;
    const pages = Math.floor(back / 0x1000) - Math.floor(to.trampoline / 0x1000);
    image.writeUInt32LE(branch(from, to.trampoline), at);
    trampoline.writeUInt32LE((0x90000010 | ((pages & 3) << 29) | (((pages >> 2) & 0x7ffff) << 5)) >>> 0, 0); // adrp x16, …
    trampoline.writeUInt32LE((0x91000210 | ((back & 0xfff) << 10)) >>> 0, 4); // add x16, x16, …
    trampoline.writeUInt32LE(branch(to.trampoline + 8, to.hook), 8);
  }
  return trampoline;
}

/** arm64: b */
function branch(from: number, to: number): number {
  return 0x14000000 + (((to - from) / 4) & 0x3ffffff);
}

/**
 * Keeps the loader from reading of a library's file what is not in its first `size` bytes: notes behind them, which tell what
 * kernel it needs. All else it reads is mapped. Throws where the headers are longer.
 */
export function shortenHead({ segments, headersOffset }: Elf, image: Buffer, size: number): void {
  const end = headersOffset + segmentBytes * segments.length;
  if (end > size) throw new Error(`a library's headers have ${end} bytes: expected ${size} or less`);
  for (const [index, { type, offset, fileSize }] of segments.entries()) {
    if (type !== segmentType.note || offset + fileSize <= size) continue;
    image.writeUInt32LE(segmentType.none, headersOffset + segmentBytes * index);
  }
}
