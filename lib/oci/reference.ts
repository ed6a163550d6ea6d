import { resolve } from "node:path";
import { RestorerError } from "../failures.ts";
import { quote } from "../text.ts";
import { isDigest } from "./digest.ts";

/** Docker Hub, by the name under which go-containerregistry and so every other lifecycle phase know it. */
export const dockerHub = "index.docker.io";

/** How a cache image in an OCI layout on disk is named, as skopeo does: `oci:DIR[:TAG]`. */
const layoutPrefix = "oci:";

/** Whether a cache image is named that lies in an OCI layout on disk. */
export function isLayoutReference(reference: string): boolean {
  return reference.startsWith(layoutPrefix);
}

/** The directory (absolute; empty where none is named) and the tag of an OCI layout; undefined for any other reference. */
export function parseLayoutReference(reference: string): { readonly dir: string; readonly tag?: string } | undefined {
  if (!isLayoutReference(reference)) return undefined;
  const [dir = "", tag = ""] = reference.slice(layoutPrefix.length).split(/:(.*)/s);
  return { dir: dir === "" ? "" : resolve(dir), ...(tag !== "" && { tag }) };
}

/** The name of an image in a registry. */
export interface Reference {
  /** As given, without tag and digest: `ubuntu`, `127.0.0.1:5000/app`. For messages. */
  readonly name: string;
  /** `host` or `host:port`; `index.docker.io` for Docker Hub. */
  readonly registry: string;
  /** Path in the registry, `library/` included for the official images of Docker Hub. */
  readonly repository: string;
  /** `latest` when the text names neither a tag nor a digest. */
  readonly tag?: string;
  /** `sha256:<hex>`; where there is also a tag, the digest counts. */
  readonly digest?: string;
}

/** What stands for a user and password that must not be shown. */
const hidden = "***";

/**
 * A word that should be an image reference, to be kept and shown: one may hold a user and password, as a URL does, which
 * nobody may see. Such a word is not a reference, before and after. Paths and OCI layouts are left as they are.
 */
export function withoutUserInfo(word: string): string {
  if (/^[./]/.test(word) || isLayoutReference(word)) return word;
  const [, scheme = "", user = "", rest = ""] =
    /^(\w+:\/\/)?(.*)@(.*)$/s.exec(word.replace(/@sha\d+:[^@/]*$/, "")) ?? [];
  const isUserInfo = user !== "" && (scheme !== "" || rest.includes("/") || /:(?!\d+\/)/.test(user));
  return isUserInfo ? `${scheme}${hidden}@${rest}` : word;
}

/**
 * Parses an image reference by Docker's rules: `[registry/]repository[:tag][@sha256:hex]`. What stands before the first
 * slash is a registry when it is `localhost` or has a dot or a colon in it; everything else is on Docker Hub.
 * Throws a RestorerError that names the text and what is wrong with it.
 */
export function parseReference(text: string): Reference {
  if (withoutUserInfo(text).includes(`${hidden}@`)) {
    throw invalid(text, "it holds a user or password", "Leave them out: `docker login` keeps them for a registry.");
  }
  const at = text.indexOf("@");
  const digest = at === -1 ? undefined : text.slice(at + 1);
  if (digest !== undefined && !isDigest(digest)) {
    throw invalid(text, `${quote(digest)} is not a digest: expected "sha256:" and 64 lower-case hexadecimal digits`);
  }
  const tagged = at === -1 ? text : text.slice(0, at);
  const colon = tagged.indexOf(":", tagged.lastIndexOf("/") + 1);
  const name = colon === -1 ? tagged : tagged.slice(0, colon);
  const tag = colon === -1 ? undefined : tagged.slice(colon + 1);
  if (tag !== undefined && !/^[\w.-]{1,128}$/.test(tag)) {
    throw invalid(text, `${quote(tag)} is not a tag: expected 1 to 128 letters, digits, "_", "." or "-"`);
  }
  const place = locate(text, name);
  if (digest !== undefined) return { name, ...place, ...(tag === undefined ? {} : { tag }), digest };
  return { name, ...place, tag: tag ?? "latest" };
}

function locate(text: string, name: string): { registry: string; repository: string } {
  if (/^https?:\/\//i.test(text)) throw invalid(text, "it is a URL", 'Leave out the "https://".');
  const slash = name.indexOf("/");
  const first = name.slice(0, Math.max(slash, 0));
  const explicit = first === "localhost" || /[.:]/.test(first);
  const repository = explicit ? name.slice(slash + 1) : name;
  if (explicit && !isRegistry(first))
    throw invalid(text, `${quote(first)} is not a registry: expected host or host:port`);
  checkRepository(text, repository);
  const registry = explicit ? canonicalRegistry(first) : dockerHub;
  const official = registry === dockerHub && !repository.includes("/");
  return { registry, repository: official ? `library/${repository}` : repository };
}

function checkRepository(text: string, repository: string): void {
  if (repository.length < 2 || repository.length > 255) {
    throw invalid(text, "the repository must be 2 to 255 characters long");
  }
  if (!/^[a-z0-9_./-]+$/.test(repository)) {
    const hint = /[A-Z]/.test(repository) ? "Write it in lower case." : undefined;
    throw invalid(text, `a repository holds only lower-case letters, digits, "_", "-", "." and "/"`, hint);
  }
  // Such components would be resolved away in a URL, and the request would go to another repository.
  if (repository.split("/").some((part) => part === "" || part === "." || part === "..")) {
    throw invalid(text, `a repository has no component that is empty, "." or ".."`);
  }
}

function invalid(text: string, why: string, hint?: string): RestorerError {
  const whole = withoutUserInfo(text);
  const shown = whole.length > 300 ? `${whole.slice(0, 300)}…` : whole;
  return new RestorerError(`invalid image reference ${quote(shown)}: ${why}`, hint === undefined ? {} : { hint });
}

/** Whether text is a host or host:port (IPv6 in brackets) that may stand in a reference. */
export function isRegistry(text: string): boolean {
  const match = /^(\[[0-9a-f:.]+\]|[a-z0-9](?:[a-z0-9_.-]*[a-z0-9])?)(?::(\d{1,5}))?$/i.exec(text);
  // Some hosts that look well are not hosts to a URL, such as `a..b` and `1.2.3.999`.
  return match !== null && Number(match[2] ?? 443) <= 65_535 && URL.canParse(`https://${text}`);
}

/** The one name of a registry that has several: `docker.io` is `index.docker.io`. */
export function canonicalRegistry(registry: string): string {
  const lower = registry.toLowerCase();
  return lower === "docker.io" || lower === "registry-1.docker.io" ? dockerHub : registry;
}

/** A reference in the words of whoever wrote it, for messages. */
export function formatReference({ name, tag, digest }: Reference): string {
  if (digest !== undefined) return tag === undefined ? `${name}@${digest}` : `${name}:${tag}@${digest}`;
  return tag === undefined ? name : `${name}:${tag}`;
}

/**
 * `registry/repository@digest`, fully qualified, without a tag: what the lifecycle's phases write to analyzed.toml
 * (`index.docker.io/library/ubuntu@sha256:…` for `ubuntu`).
 */
export function digestReference({ registry, repository }: Reference, digest: string): string {
  return `${registry}/${repository}@${digest}`;
}

/** The same repository, by digest. */
export function withDigest({ name, registry, repository }: Reference, digest: string): Reference {
  return { name, registry, repository, digest };
}
