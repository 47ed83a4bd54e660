/**
 * Keys and tokens of well-known forms: a prefix that nothing else has, and a body of known characters and of at least
 * so many.
 */
import type { NormalizedText } from "./normalize.ts";
import { isAlphanumeric, isDigit, isUpper } from "./pattern.ts";
import type { PatternMatch } from "./pattern.ts";

/** `body`: what follows the prefix: `upper` is A-Z and 0-9; `url` is letters, digits, `-`, `_`; `dotted` adds dots. */
type KeyForm = { rule: string; prefix: string; body: "alphanumeric" | "upper" | "url" | "dotted"; min: number };

const forms: readonly KeyForm[] = [
  { rule: "anthropic", prefix: "sk-ant-", body: "url", min: 32 },
  { rule: "openai", prefix: "sk-proj-", body: "url", min: 32 },
  { rule: "openai", prefix: "sk-svcacct-", body: "url", min: 32 },
  { rule: "openrouter", prefix: "sk-or-v1-", body: "url", min: 32 },
  { rule: "openai", prefix: "sk-", body: "alphanumeric", min: 20 },
  { rule: "aws", prefix: "AKIA", body: "upper", min: 16 },
  { rule: "aws", prefix: "ASIA", body: "upper", min: 16 },
  { rule: "github", prefix: "ghp_", body: "alphanumeric", min: 36 },
  { rule: "github", prefix: "gho_", body: "alphanumeric", min: 36 },
  { rule: "github", prefix: "ghu_", body: "alphanumeric", min: 36 },
  { rule: "github", prefix: "ghs_", body: "alphanumeric", min: 36 },
  { rule: "github", prefix: "ghr_", body: "alphanumeric", min: 36 },
  { rule: "github", prefix: "github_pat_", body: "url", min: 40 },
  { rule: "gitlab", prefix: "glpat-", body: "url", min: 20 },
  { rule: "google", prefix: "AIza", body: "url", min: 35 },
  { rule: "google", prefix: "GOCSPX-", body: "url", min: 24 },
  { rule: "slack", prefix: "xoxb-", body: "url", min: 20 },
  { rule: "slack", prefix: "xoxp-", body: "url", min: 20 },
  { rule: "slack", prefix: "xoxa-", body: "url", min: 20 },
  { rule: "slack", prefix: "xoxr-", body: "url", min: 20 },
  { rule: "slack", prefix: "xapp-", body: "url", min: 20 },
  { rule: "stripe", prefix: "sk_live_", body: "alphanumeric", min: 16 },
  { rule: "stripe", prefix: "rk_live_", body: "alphanumeric", min: 16 },
  { rule: "stripe", prefix: "sk_test_", body: "alphanumeric", min: 16 },
  { rule: "stripe", prefix: "whsec_", body: "alphanumeric", min: 24 },
  { rule: "sendgrid", prefix: "SG.", body: "dotted", min: 60 },
  { rule: "npm", prefix: "npm_", body: "alphanumeric", min: 36 },
  { rule: "pypi", prefix: "pypi-", body: "url", min: 50 },
  { rule: "hugging_face", prefix: "hf_", body: "alphanumeric", min: 30 },
  { rule: "replicate", prefix: "r8_", body: "alphanumeric", min: 37 },
  { rule: "digitalocean", prefix: "dop_v1_", body: "alphanumeric", min: 64 },
  { rule: "shopify", prefix: "shpat_", body: "alphanumeric", min: 32 },
  { rule: "groq", prefix: "gsk_", body: "alphanumeric", min: 40 },
  { rule: "edgeplane", prefix: "ep_", body: "url", min: 40 },
  { rule: "jwt", prefix: "eyJ", body: "dotted", min: 40 },
];

const byFirst = new Map<number, readonly KeyForm[]>(
  [...new Set(forms.map(({ prefix }) => prefix.charCodeAt(0)))].map((first) => [
    first,
    forms.filter(({ prefix }) => prefix.charCodeAt(0) === first),
  ]),
);
const isFirst = new Uint8Array(256);
for (const first of byFirst.keys()) isFirst[first] = 1;

/** The longest key that is taken as one: what goes on behind is another text. */
export const MAX_KEY = 4096;
const PEM_BEGIN = "-----BEGIN ";
const PEM_END = "-----END ";

export function scanKeys(text: NormalizedText, from: number, add: (match: PatternMatch) => void): void {
  const { ascii, length } = text;
  for (let at = from; at < length; at += 1) {
    const form = ascii[at] ?? 0;
    const found =
      form === 0x2d
        ? privateKeyAt(text, at)
        : isFirst[form] === 1 && !isBodyCharacter(at > 0 ? (ascii[at - 1] ?? 0) : 0)
          ? keyAt(text, at, byFirst.get(form) ?? [])
          : null;
    if (found === null) continue;
    add(found);
    at = found.last;
  }
}

/** Whether what stands at `at` may become a key when more text follows: a part of a prefix, or all of one. */
export function mayBeKey(text: NormalizedText, at: number): boolean {
  const { ascii, length } = text;
  const candidates = byFirst.get(ascii[at] ?? 0) ?? [];
  return candidates.some(({ prefix }) => startsWith(ascii, at, length, prefix, true));
}

/** Where a private key begins whose end hasn't come yet; null for none. */
export function openPrivateKey(text: NormalizedText, from: number): number | null {
  const { ascii, length } = text;
  let open: number | null = null;
  for (let at = length - 1; at >= from && length - at <= MAX_KEY; at -= 1) {
    if (ascii[at] !== 0x2d || (at > 0 && ascii[at - 1] === 0x2d)) continue;
    if (startsWith(ascii, at, length, PEM_END, false)) break;
    // The dashes at the end of a heading look like the beginning of one.
    if (startsWith(ascii, at, length, PEM_BEGIN, true)) open = at;
  }
  return open;
}

function keyAt(text: NormalizedText, at: number, candidates: readonly KeyForm[]): PatternMatch | null {
  const { ascii, length } = text;
  for (const { rule, prefix, body, min } of candidates) {
    if (!startsWith(ascii, at, length, prefix, false)) continue;
    const begin = at + prefix.length;
    let end = begin;
    while (end < length && end - at < MAX_KEY && isOf(body, ascii[end] ?? 0)) end += 1;
    if (end - begin < min) continue;
    if (rule === "jwt" && !hasTwoDots(ascii, begin, end)) continue;
    return { pattern: "api_key", rule, first: at, last: end - 1 };
  }
  return null;
}

function privateKeyAt(text: NormalizedText, at: number): PatternMatch | null {
  const { ascii, length } = text;
  if ((at > 0 && ascii[at - 1] === 0x2d) || !startsWith(ascii, at, length, PEM_BEGIN, false)) return null;
  const heading = String.fromCharCode(...ascii.subarray(at, Math.min(length, at + 48)));
  if (!/^-----BEGIN [A-Z ]{0,20}PRIVATE KEY-----/.test(heading)) return null;
  let end = at + PEM_BEGIN.length;
  const limit = Math.min(length, at + MAX_KEY);
  while (end < limit && !startsWith(ascii, end, length, PEM_END, false)) end += 1;
  while (end < limit && ascii[end] !== 0x0a && ascii[end] !== 0x20) end += 1;
  if (end < limit && ascii[end] === 0x20) {
    while (end < limit && (ascii[end] === 0x20 || isUpper(ascii[end] ?? 0) || ascii[end] === 0x2d)) end += 1;
  }
  return { pattern: "api_key", rule: "private_key", first: at, last: end - 1 };
}

function startsWith(ascii: Uint8Array, at: number, length: number, prefix: string, orPart: boolean): boolean {
  for (let index = 0; index < prefix.length; index += 1) {
    if (at + index >= length) return orPart;
    if (ascii[at + index] !== prefix.charCodeAt(index)) return false;
  }
  return true;
}

function isBodyCharacter(ascii: number): boolean {
  return isAlphanumeric(ascii) || ascii === 0x2d || ascii === 0x5f;
}

function isOf(body: KeyForm["body"], ascii: number): boolean {
  if (body === "upper") return isUpper(ascii) || isDigit(ascii);
  if (isAlphanumeric(ascii)) return true;
  return body !== "alphanumeric" && (ascii === 0x2d || ascii === 0x5f || (body === "dotted" && ascii === 0x2e));
}

function hasTwoDots(ascii: Uint8Array, begin: number, end: number): boolean {
  let dots = 0;
  for (let at = begin; at < end; at += 1) if (ascii[at] === 0x2e) dots += 1;
  return dots >= 2;
}
