/** The archive of a release: what `install.sh` takes, and npm as a package. */
import { noticeFiles } from "./notices.ts";
import { type Machine, release } from "./pins.ts";
import { sbomOf } from "./sbom.ts";
import { type Entry, gzip, sha256, tarOf } from "./tar.ts";

export interface Archive {
  readonly name: string;
  readonly bytes: Buffer;
}

/** `restorer-<version>-linux-<machine>.tar.gz`, with all in one directory of that name. */
export function archiveOf(machine: Machine, executable: Uint8Array): Archive {
  const name = `${release.name}-${release.version}-linux-${machine}`;
  const text = (path: string, content: string): Entry => ({ path, mode: 0o644, bytes: Buffer.from(content) });
  const files: Entry[] = [
    { path: release.name, mode: 0o755, bytes: executable },
    ...noticeFiles(machine),
    text(`${release.name}.sbom.cdx.json`, sbomOf(machine, executable)),
    text("package.json", `${JSON.stringify(packageFor(machine), null, 2)}\n`),
  ];
  const inside = files.map((file) => ({ ...file, path: `${name}/${file.path}` }));
  return { name: `${name}.tar.gz`, bytes: gzip(tarOf([{ path: name, mode: 0o755 }, ...inside])) };
}

/** What makes the archive a package that npx and bunx run. */
function packageFor(machine: Machine): object {
  const { name, version, description, license } = release;
  return { name, version, description, license, bin: { [name]: name }, os: ["linux"], cpu: [machine] };
}

/** As `sha256sum` writes and checks them. */
export function sumsOf(archives: readonly Archive[]): string {
  return archives.map(({ name, bytes }) => `${sha256(bytes)}  ${name}\n`).join("");
}
