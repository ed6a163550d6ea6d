/** An image `FROM scratch` for several machines, as an OCI layout (OCI image specification 1.1). */
import { licencesOf } from "./bundled.ts";
import { noticeFiles } from "./notices.ts";
import { architectures, type Machine, release } from "./pins.ts";
import { sbomOf } from "./sbom.ts";
import { type Entry, gzip, mtime, sha256, tarOf } from "./tar.ts";

const types = {
  index: "application/vnd.oci.image.index.v1+json",
  manifest: "application/vnd.oci.image.manifest.v1+json",
  config: "application/vnd.oci.image.config.v1+json",
  layer: "application/vnd.oci.image.layer.v1.tar+gzip",
};

export const executablePath = "/cnb/lifecycle/restorer";
const created = new Date(mtime * 1000).toISOString().replace(".000", "");

interface Descriptor {
  readonly mediaType: string;
  readonly digest: string;
  readonly size: number;
}

/** The files of a layout by their paths. */
type Layout = ReadonlyMap<string, Uint8Array>;

/**
 * A layout with one tag, the version. The image has two layers: the executable alone, and what tells of it.
 *
 * @param revision the commit, where it is known
 */
export function layoutOf(executables: ReadonlyMap<Machine, Uint8Array>, revision: string | undefined): Layout {
  const layout = new Map<string, Uint8Array>();
  const add = (mediaType: string, bytes: Uint8Array): Descriptor => {
    const sum = sha256(bytes);
    layout.set(`blobs/sha256/${sum}`, bytes);
    return { mediaType, digest: `sha256:${sum}`, size: bytes.length };
  };
  const addJson = (mediaType: string, value: object) => add(mediaType, json({ ...value }));

  const manifests = [...executables].map(([machine, executable]) => {
    const labels = labelsOf(machine, revision);
    const tars = [tarOf(executableLayer(executable)), tarOf(papersLayer(machine, executable))];
    const config = addJson(types.config, configOf(machine, tars, labels));
    const layers = tars.map((tar) => add(types.layer, gzip(tar)));
    const manifest = { schemaVersion: 2, mediaType: types.manifest, config, layers, annotations: labels };
    const platform = { architecture: architectures[machine], os: "linux" };
    return { ...addJson(types.manifest, manifest), platform };
  });
  const index = { schemaVersion: 2, mediaType: types.index, manifests };
  const tagged = {
    ...addJson(types.index, index),
    annotations: { "org.opencontainers.image.ref.name": release.version },
  };
  layout.set("index.json", json({ schemaVersion: 2, mediaType: types.index, manifests: [tagged] }));
  layout.set("oci-layout", json({ imageLayoutVersion: "1.0.0" }));
  return layout;
}

function json(value: object): Buffer {
  return Buffer.from(JSON.stringify(value));
}

function labelsOf(machine: Machine, revision: string | undefined): Record<string, string> {
  const { name: title, version, description } = release;
  const labels = { title, description, version, licenses: licencesOf(machine), created, ...(revision && { revision }) };
  return Object.fromEntries(Object.entries(labels).map(([key, value]) => [`org.opencontainers.image.${key}`, value]));
}

function configOf(machine: Machine, tars: readonly Buffer[], labels: Readonly<Record<string, string>>): object {
  return {
    created,
    architecture: architectures[machine],
    os: "linux",
    config: { Entrypoint: [executablePath], Labels: labels },
    rootfs: { type: "layers", diff_ids: tars.map((tar) => `sha256:${sha256(tar)}`) },
    history: ["the executable", "its bill of materials, licences and notices"].map((comment) => ({ created, comment })),
  };
}

/** The directories above a path, then the files. */
function under(directory: string, files: readonly Entry[]): Entry[] {
  const parts = directory.split("/");
  const directories = parts.map((_, index) => ({ path: parts.slice(0, index + 1).join("/"), mode: 0o755 }));
  return [...directories, ...files.map((file) => ({ ...file, path: `${directory}/${file.path}` }))];
}

function executableLayer(executable: Uint8Array): Entry[] {
  return under("cnb/lifecycle", [{ path: "restorer", mode: 0o755, bytes: executable }]);
}

/** The bill lies where the lifecycle has its own: beside the executable, by its name. */
function papersLayer(machine: Machine, executable: Uint8Array): Entry[] {
  const sbom = { path: "restorer.sbom.cdx.json", mode: 0o644, bytes: Buffer.from(sbomOf(machine, executable)) };
  return [...under("cnb/lifecycle", [sbom]), ...under("usr/share/doc/restorer", noticeFiles(machine))];
}
