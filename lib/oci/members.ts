import { describe } from "../errors.ts";
import { ManifestError } from "./document.ts";
import { type Descriptor, type Index, isImageConfig, type Manifest, type Member, type Platform } from "./manifest.ts";
import { choosePlatform, contradicts, isSame, showPlatform } from "./platform.ts";

/** How many indexes an index may lead through, itself included: more than anybody has seen. */
const maximumLevels = 3;
/**
 * How many members without a platform are looked into, those of indexes in indexes included: each may be as large as is
 * allowed.
 */
const maximumUnnamed = 16;

/** What is looked for in an index, and how its members are read. */
export interface Search<D> {
  readonly platform: Platform;
  /** What is taken where there is no such member: nothing, the only one there is, or the first for this system. */
  readonly otherwise: "nothing" | "only" | "same-os";
  readonly read: (member: Descriptor) => Promise<D>;
  /** What an image's config says that it is for. */
  readonly platformOf: (document: D, manifest: Manifest) => Promise<Platform>;
  /** Whether a failure to read a member says that it is not there, or not an image: the others are looked at then. */
  readonly isUnusable: (error: unknown) => boolean;
}

/** A search under way. */
interface Bounded<D> extends Search<D> {
  /** How many more members may be looked into. */
  readonly looks: { left: number };
}

/** The manifest that a search came to. */
export interface Found<D> {
  readonly document: D;
  readonly manifest: Manifest;
  /** What an index says that it is for, if one led there and says so. */
  readonly platform?: Platform | undefined;
}

/**
 * Follows indexes to a manifest (contract §8, D20): to a member for the platform, unless another one would do and its config
 * says that it is for something else; else to one without a platform whose config fits, or says nothing; else to
 * `otherwise`. Attestations are never taken. Throws a ManifestError that lists what there is, or for too many indexes inside
 * each other, and what `search` throws.
 */
export function findManifest<D extends { readonly content: Manifest | Index }>(
  start: D,
  search: Search<D>,
): Promise<Found<D>> {
  return follow({ document: start, platform: undefined }, { ...search, looks: { left: maximumUnnamed } }, 0);
}

interface Step<D> {
  readonly document: D;
  readonly platform: Platform | undefined;
}

async function follow<D extends { readonly content: Manifest | Index }>(
  { document, platform }: Step<D>,
  search: Bounded<D>,
  level: number,
): Promise<Found<D>> {
  const { content } = document;
  if (content.kind === "manifest") return { document, manifest: content, platform };
  if (level === maximumLevels) throw new ManifestError("too many indexes inside each other");
  const enter = async (member: Member, way = search): Promise<Found<D>> =>
    follow(
      { document: await search.read(descriptorOf(member)), platform: member.platform ?? platform },
      way,
      level + 1,
    );

  const members = content.manifests.filter(({ isAttestation }) => !isAttestation);
  const [only, ...others] = members;
  if (search.otherwise === "only" && only !== undefined && others.length === 0) return enter(only);
  const said = choosePlatform(members, search.platform);
  const named = said && (await enter(said));
  if (named !== undefined && !(await isOfOther(named, search))) return named;

  const unnamed = members.filter((member) => !saysAll(member) && !contradicts(member.platform, search.platform));
  const failures: unknown[] = [];
  const looked = await lookInto(unnamed, search, {
    enter: (member) => enter(member, { ...search, otherwise: "nothing" }),
    onFailure: (error) => failures.push(error),
  });
  const own =
    choosePlatform(looked, search.platform) ?? looked.find((one) => !contradicts(one.platform, search.platform));
  const best = own?.found ?? named;
  if (best !== undefined) return best;

  const { os } = search.platform;
  const platformOf = (member: Member) => looked.find((one) => one.member === member)?.platform ?? member.platform;
  const other = search.otherwise === "same-os" ? members.find((member) => platformOf(member)?.os === os) : undefined;
  if (other !== undefined) return enter(other);
  const there = content.manifests.slice(0, 20).map((member) => showPlatform(platformOf(member)));
  const listed = there.length === 0 ? ": it has none at all" : `, only for ${there.join(", ")}`;
  const [cause] = failures;
  const unread = cause === undefined ? "" : `; one cannot be used: ${describe(cause)}`;
  throw new ManifestError(`the image has no member for ${showPlatform(search.platform)}${listed}${unread}`, { cause });
}

/** Whether a member's config says another platform than the index. Only where any would do it is worth asking. */
async function isOfOther<D>({ document, manifest }: Found<D>, search: Search<D>): Promise<boolean> {
  if (search.otherwise !== "same-os" || !isImageConfig(manifest.config.mediaType)) return false;
  return contradicts(await search.platformOf(document, manifest), search.platform);
}

interface Looked<D> {
  readonly member: Member;
  readonly found: Found<D>;
  readonly platform: Platform;
}

/** Reads what the configs of members say, up to the first one that fits exactly; what is not an image is passed over, and told. */
async function lookInto<D extends { readonly content: Manifest | Index }>(
  members: readonly Member[],
  search: Bounded<D>,
  {
    enter,
    onFailure,
  }: { readonly enter: (member: Member) => Promise<Found<D>>; readonly onFailure: (error: unknown) => void },
): Promise<Looked<D>[]> {
  const result: Looked<D>[] = [];
  for (const member of members) {
    if (search.looks.left === 0) break;
    search.looks.left -= 1;
    // Signals are heard in between.
    await new Promise((resolve) => setImmediate(resolve));
    try {
      const found = await enter(member);
      if (!isImageConfig(found.manifest.config.mediaType)) continue;
      const said = saysAll(found) ? found.platform : undefined;
      const platform = said ?? (await search.platformOf(found.document, found.manifest));
      result.push({ member, found, platform });
      if (isSame(platform, search.platform)) break;
    } catch (error) {
      if (!(error instanceof ManifestError) && !search.isUnusable(error)) throw error;
      onFailure(error);
    }
  }
  return result;
}

function saysAll({ platform }: { readonly platform?: Platform | undefined }): boolean {
  return Boolean(platform?.os && platform.architecture);
}

function descriptorOf({ mediaType, digest, size }: Member): Descriptor {
  return { mediaType, digest, size };
}
