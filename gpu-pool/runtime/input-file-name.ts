/**
 * The name that a downloaded input gets. Models and their libraries go by its extension; nothing else of it matters,
 * and nothing but letters, digits, `_`, `.` and `-` of it is the client's.
 *
 * The first of these that has an extension is taken: the name that the server gives (`Content-Disposition`,
 * RFC 6266), the URL that answered, the client's own URL, the redirects between them. Where none has one, the media
 * type's usual extension is put behind the first name.
 */
import { EXTENSIONS } from "./media-types.ts";

/** What a parameter of `Content-Disposition` looks like; one without quotes may hold blanks, as browsers allow. */
const PARAMETER = /(?:^|;)\s*([\w!#$&+\-.^`|~*]+)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^;]*))/g;
/** RFC 8187. */
const EXTENDED = /^(utf-8|iso-8859-1)'[^']*'(.*)$/i;
const EXTENSION = /\.(?=\w*[a-z])[a-z0-9]{1,10}$/i;
/** Where a server's program answers, the extension is the program's. */
const PROGRAM = /\.(?:php\d?|aspx?|ashx|jspx?|cgi|do|action|pl|dll|exe)$/i;
const LONGEST = 100;

export type NameSources = {
  contentDisposition: string | undefined;
  contentType: string | undefined;
  /** The client's URL first, then where each redirect led. */
  addresses: readonly URL[];
};

/** A file name without folders, never empty and never hidden, of 100 characters at most. */
export function inputFileName({ contentDisposition, contentType, addresses }: NameSources): string {
  const names = [nameGiven(contentDisposition ?? ""), ...urlsInOrder(addresses).map(nameInUrl)].map(sanitize);
  const named = names.find((name) => EXTENSION.test(name) && !PROGRAM.test(name));
  if (named !== undefined) return named;
  const mediaType = (contentType ?? "").split(";")[0]?.trim().toLowerCase() ?? "";
  const extension = EXTENSIONS.get(mediaType) ?? "";
  const name = names.find((one) => one !== "") ?? "file";
  return `${name.slice(-LONGEST + extension.length)}${extension}`;
}

/** Where it answered, then what the client wrote, then the ways between. */
function urlsInOrder(addresses: readonly URL[]): URL[] {
  const [last, ...others] = [...addresses].reverse();
  return last === undefined ? [] : [last, ...others.slice(-1), ...others.slice(0, -1)];
}

/** `filename*` wins over `filename`. A name that is coded wrongly is none. */
function nameGiven(contentDisposition: string): string {
  let plain = "";
  for (const [, key = "", quoted, token = ""] of contentDisposition.matchAll(PARAMETER)) {
    const value = quoted?.replaceAll(/\\(.)/g, "$1") ?? token.trim();
    if (/^filename\*$/i.test(key)) {
      const extended = decodeExtended(value);
      if (extended !== "") return extended;
    } else if (plain === "" && /^filename$/i.test(key)) plain = value;
  }
  return plain;
}

function decodeExtended(value: string): string {
  const [, charset = "", coded = ""] = EXTENDED.exec(value) ?? [];
  const isUtf8 = charset.toLowerCase() === "utf-8";
  return isUtf8 ? decodeOr(coded, "") : coded.replaceAll(/%([0-9a-f]{2})/gi, (_whole, hex: string) => charOf(hex));
}

function charOf(hex: string): string {
  return String.fromCharCode(Number.parseInt(hex, 16));
}

function nameInUrl(address: URL): string {
  return decodeOr(address.pathname, address.pathname);
}

function decodeOr(coded: string, otherwise: string): string {
  try {
    return decodeURIComponent(coded);
  } catch {
    return otherwise;
  }
}

/** The last part of a path, with what isn't plain replaced. A name of dots alone is none. */
function sanitize(path: string): string {
  const name = path.split(/[/\\]/).at(-1) ?? "";
  return name
    .replaceAll(/[^\w.-]/g, "_")
    .replace(/^\.+/, "_")
    .replace(/^_$/, "")
    .slice(-LONGEST);
}
