/** What must be told to whoever gets the executable: whose work is in it, under which terms, and how to change that part. */
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { bundledFor } from "./bundled.ts";
import { bunPackage, type Machine, pins, project, release } from "./pins.ts";
import type { Entry } from "./tar.ts";

/** The files that go with the executable for a machine. */
export function noticeFiles(machine: Machine): Entry[] {
  const copy = (path: string, from: string): Entry => ({ path, mode: 0o644, bytes: readFileSync(join(project, from)) });
  return [
    copy("LICENSE", "LICENSE"),
    { path: "NOTICES.txt", mode: 0o644, bytes: Buffer.from(`${noticesFor(machine)}\n`) },
    copy("LGPL-2.1.txt", "build/licences/LGPL-2.1.txt"),
    copy("glibc-copyright.txt", "build/licences/glibc-copyright.txt"),
  ];
}

/** The text of NOTICES.txt for a machine; the texts of the licences of npm packages are in it. */
function noticesFor(machine: Machine): string {
  const bundled = bundledFor(machine);
  const table = bundled.map(({ name, version, licence, what }) => `  ${name} ${version} (${licence}): ${what}`);
  const packages = bundled.filter(({ ref }) => ref.startsWith("node_modules/"));
  return [
    introduction(),
    `It holds work of others:\n\n${table.join("\n")}`,
    glibc(machine),
    bun(machine),
    ...packages.map(({ ref, name, version }) => `=== ${name} ${version}\n\n${licenceText(ref)}`),
  ].join("\n\n");
}

function introduction(): string {
  return `${release.name} ${release.version} is licensed under the Apache License, Version 2.0: see LICENSE.`;
}

function glibc(machine: Machine): string {
  const { version, packages, source } = pins.glibc;
  const pool = pins.debian.map((base) => `  ${base}/${source}`).join("\n");
  return `=== The GNU C Library (glibc)

The loader, libc and libm of glibc ${version} are inside of the executable, as Debian has compiled them:

  ${packages[machine].path}
  sha256 ${packages[machine].sha256}

The loader is changed in two places, by build/memory-image.ts: it looks for no /etc/ld.so.preload, and its mmap uses what the
executable has mapped already.

They are free software under the GNU Lesser General Public License, version 2.1 or later: see LGPL-2.1.txt, and
glibc-copyright.txt for all who hold rights. They come without any warranty. The complete source is Debian's source package,
which names its files and their sums:

${pool}

You may replace these libraries by others, changed ones too, of glibc 2.34 or newer. With the source of ${release.name} of
this version, put ld-linux-*.so.*, libc.so.6 and libm.so.6 into a directory, and run there

  make -B dist/release/${machine}/plain/restorer
  node_modules/@oven/bun-*/bin/bun build/self-contained.ts dist/release/${machine}/plain/restorer restorer DIRECTORY

The first makes the executable without any library in it, which runs where glibc is installed; the second puts yours in.`;
}

function bun(machine: Machine): string {
  const { name, version } = bunPackage(machine);
  return `=== Bun

The runtime is Bun ${version} (npm package ${name}), under the MIT licence. It links JavaScriptCore and other
parts of WebKit statically, which are under the GNU Lesser General Public License, version 2 or later, TinyCC under the same,
version 2.1, and many libraries under permissive terms. All are listed, with how to build Bun with a changed engine, in

  https://github.com/oven-sh/bun/blob/bun-v${version}/LICENSE.md

The source of the engine is https://github.com/oven-sh/WebKit at the commit that Bun's build names. An executable of ${release.name}
with another Bun is made by putting that in the place of the one that build/fetch.ts names.

${mit("Oven and the contributors to Bun")}`;
}

function mit(whose: string): string {
  return `Copyright (c) ${whose}

Permission is hereby granted, free of charge, to any person obtaining a copy of this software and associated documentation
files (the "Software"), to deal in the Software without restriction, including without limitation the rights to use, copy,
modify, merge, publish, distribute, sublicense, and/or sell copies of the Software, and to permit persons to whom the
Software is furnished to do so, subject to the following conditions:

The above copyright notice and this permission notice shall be included in all copies or substantial portions of the Software.

THE SOFTWARE IS PROVIDED "AS IS", WITHOUT WARRANTY OF ANY KIND, EXPRESS OR IMPLIED, INCLUDING BUT NOT LIMITED TO THE
WARRANTIES OF MERCHANTABILITY, FITNESS FOR A PARTICULAR PURPOSE AND NONINFRINGEMENT. IN NO EVENT SHALL THE AUTHORS OR
COPYRIGHT HOLDERS BE LIABLE FOR ANY CLAIM, DAMAGES OR OTHER LIABILITY, WHETHER IN AN ACTION OF CONTRACT, TORT OR OTHERWISE,
ARISING FROM, OUT OF OR IN CONNECTION WITH THE SOFTWARE OR THE USE OR OTHER DEALINGS IN THE SOFTWARE.`;
}

/** The licence in an installed package; without one nothing is released. */
function licenceText(ref: string): string {
  const directory = join(project, ref);
  const name = existsSync(directory)
    ? readdirSync(directory)
        .sort()
        .find((one) => /^licen[cs]e/i.test(one))
    : undefined;
  if (name === undefined) throw new Error(`${ref} is not installed, or has no licence: run "npm ci" first`);
  return readFileSync(join(directory, name), "utf8").trimEnd();
}
