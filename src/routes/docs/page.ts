/** HTML pages of our own: their frame, and text that is safe in it. */

const STYLE = `body{font:16px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:70rem;padding:0 1rem;color:#1b1b1b;background:#fff}
table{border-collapse:collapse;width:100%}td,th{border-bottom:1px solid #ddd;padding:.4rem .6rem;text-align:left;vertical-align:top}
code{background:#f3f3f3;border-radius:3px;padding:0 .2em}tr:target{background:#fff6d6}
.wide{overflow-x:auto}
@media(prefers-color-scheme:dark){body{color:#e7e7e7;background:#0f0f0f}td,th{border-color:#333}code{background:#222}tr:target{background:#3a3210}}`;

/** A page without an icon of its own has the browser ask for `/favicon.ico`, which isn't there. */
export const NO_ICON = '<link rel="icon" href="data:,">';

const POLICY =
  "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/** A table that scrolls by itself where it is wider than the screen. */
export function wideTable(id: string, html: string): string {
  return `<div class="wide"><table id="${id}">${html}</table></div>`;
}

/** A page with a title and a body of HTML; it runs no script but the one that it is given, and loads nothing. */
export function htmlPage(title: string, body: string, script?: string): Response {
  const head = `<meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>${escapeHtml(title)}</title>${NO_ICON}<style>${STYLE}</style>`;
  const nonce = crypto.randomUUID();
  const end = script === undefined ? "" : `<script nonce="${nonce}">${script}</script>`;
  const policy = script === undefined ? POLICY : `${POLICY}; script-src 'nonce-${nonce}'; connect-src 'self'`;
  return new Response(`<!doctype html><html lang="en"><head>${head}</head><body>${body}${end}</body></html>`, {
    headers: { "content-type": "text/html; charset=utf-8", "content-security-policy": policy },
  });
}

/** `text` as it stands in HTML, with \`code\` as Markdown has it. */
export function inlineHtml(text: string): string {
  return escapeHtml(text).replaceAll(/`([^`]+)`/g, "<code>$1</code>");
}

export function escapeHtml(text: string): string {
  return text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll('"', "&quot;");
}
