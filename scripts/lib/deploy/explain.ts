/** What wrangler says when Cloudflare refuses, as one line with what to do. */
import { DeployError } from "./deploy-error.ts";

type Known = { says: RegExp; message: string; remedy: string };

/** The permissions of a token, by the path of the call that was refused. */
const permissions: readonly [RegExp, string][] = [
  [/\/d1\//, "D1: Edit"],
  [/\/r2\//, "Workers R2 Storage: Edit"],
  [/\/workers\//, "Workers Scripts: Edit"],
  [/\/zones\//, "Workers Routes: Edit"],
  [/\/(?:accounts|memberships|user)\b/, "Account Settings: Read"],
];

const known: readonly Known[] = [
  {
    says: /enable R2|\[code: 10042\]/i,
    message: "R2 is not turned on for this account",
    remedy: "Turn it on (dash.cloudflare.com, R2 Object Storage; it asks for a card), and run this again.",
  },
  {
    says: /register a workers\.dev subdomain|\[code: 10063\]/i,
    message: "this account has no workers.dev subdomain",
    remedy:
      "Choose one (dash.cloudflare.com, Workers & Pages), or give wrangler.toml a route of your own " +
      '(routes = [{ pattern = "edge.example.com", custom_domain = true }]), and run this again.',
  },
  {
    says: /worker[ _]loader|dynamic worker/i,
    message: "this account's plan has no Worker Loader",
    remedy: "It needs the Workers Paid plan. Without it, deploy without --env plugins: all else works.",
  },
  {
    says: /maximum number of D1 databases|\[code: 7406\]/i,
    message: "this account has as many D1 databases as its plan allows",
    remedy: "Delete one (`npx wrangler d1 list`), or move to the Workers Paid plan, and run this again.",
  },
  {
    says: /\[code: 10027\]|script (?:is )?too large|exceeded the size limit/i,
    message: "the Worker is larger than this account's plan allows",
    remedy: "Move to the Workers Paid plan, and run this again.",
  },
  {
    says: /Durable Object.*(?:paid|plan)|\[code: 10097\]/i,
    message: "this account's plan has no Durable Objects of this kind",
    remedy: "Move to the Workers Paid plan, and run this again.",
  },
  {
    says: /\[code: (?:9109|6003|6111|1000[12])\]|Invalid access token|Invalid format for Authorization header/,
    message: "Cloudflare doesn't know the token",
    remedy: "Set CLOUDFLARE_API_TOKEN to one that is valid, or unset it and run `npx wrangler login`.",
  },
  {
    says: /Not logged in|not authenticated|CLOUDFLARE_API_TOKEN environment variable|auth token has expired/i,
    message: "nobody is logged in to Cloudflare",
    remedy: "Run `npx wrangler login`, or set CLOUDFLARE_API_TOKEN, and run this again.",
  },
  {
    says: /\[code: (?:10429|971)\]|too many requests|rate limit|\b429\b/i,
    message: "Cloudflare asks for fewer calls",
    remedy: "Wait some minutes, and run this again: it goes on where it stopped.",
  },
  {
    says: /\[code: 10079\]|precondition failed/i,
    message: "the Worker changed while this one was uploaded",
    remedy: "Run this again.",
  },
  {
    says: /fetch failed|ENOTFOUND|ECONNREFUSED|ECONNRESET|ETIMEDOUT|connectivity issue/i,
    message: "Cloudflare's API can't be reached",
    remedy: "Look at the network and the proxy, and run this again: it goes on where it stopped.",
  },
  {
    says: /Internal Server Error|\b50[0234]\b|malformed response|\[code: (?:10001|10013)\]|unknown error/i,
    message: "Cloudflare's API failed",
    remedy: "See cloudflarestatus.com, and run this again: it goes on where it stopped.",
  },
];

const FORBIDDEN = /\[code: (?:10000|10023|9106)\]|Authentication error|403|permission|Forbidden/i;
const PASSING = new Set([
  "Cloudflare asks for fewer calls",
  "Cloudflare's API can't be reached",
  "Cloudflare's API failed",
  "the Worker changed while this one was uploaded",
]);

/** The reason in `output`, which a failed command of wrangler wrote. */
export function explain(output: string): DeployError {
  const text = plain(output);
  const said = errorOf(text);
  const found = known.find(({ says }) => says.test(said));
  if (found !== undefined) return new DeployError(`${found.message} (${said})`, found.remedy);
  if (FORBIDDEN.test(said)) {
    const path = /\(?(\/(?:accounts|memberships|user|zones)[^\s)]*)/.exec(text)?.[1] ?? "";
    const permission = permissions.find(([of]) => of.test(path))?.[1];
    const which = permission === undefined ? "a permission" : `the permission "${permission}"`;
    return new DeployError(
      `Cloudflare refused it: the login lacks ${which} (${said})`,
      "Give the token that permission (dash.cloudflare.com/profile/api-tokens), or run `npx wrangler login`; then run this again.",
    );
  }
  return new DeployError(said, "Run this again once that is mended: it goes on where it stopped.");
}

/** Whether a command that failed with `output` may go well at the next try. */
export function isPassing(output: string): boolean {
  const { message } = explain(output);
  return [...PASSING].some((reason) => message.startsWith(reason));
}

function plain(output: string): string {
  // oxlint-disable-next-line no-control-regex -- colours
  return output.replaceAll(/\u001B\[[0-9;]*m/g, "");
}

/** What stands behind "[ERROR]", up to an empty line and the note below it, on one line. */
function errorOf(text: string): string {
  const [, said = text] =
    /\[ERROR\]\s*([\s\S]*?)(?:\n\s*\n\s*(?:If you think|🪵|Note that|To learn more)|🪵|$)/.exec(text) ?? [];
  return said
    .replaceAll(/\/accounts\/[0-9a-f]{32}/g, "")
    .replaceAll(/\s+/g, " ")
    .trim()
    .slice(0, 400);
}
