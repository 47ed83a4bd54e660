/** `/docs`: the OpenAPI document, rendered by Scalar. https://scalar.com/products/api-references/configuration */
import { escapeHtml, NO_ICON } from "./page.ts";

export const SCRIPT_PATH = "/docs/scalar.js";

/** Nothing is loaded from another host, and nothing is told to one. */
const CONFIGURATION = {
  withDefaultFonts: false,
  telemetry: false,
  hideClientButton: true,
  showDeveloperTools: "never",
  agent: { disabled: true },
  mcp: { disabled: true },
  authentication: { preferredSecurityScheme: "apiKey" },
};

const POLICY = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self' 'unsafe-inline'",
  "img-src 'self' data:",
  "font-src 'self' data:",
  "connect-src 'self'",
  "base-uri 'none'",
  "frame-ancestors 'none'",
].join("; ");

export function referencePage(documentPath: string): Response {
  const configuration = escapeHtml(JSON.stringify(CONFIGURATION));
  const html = `<!doctype html>
<html lang="en">
  <head><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>Edgeplane API</title>${NO_ICON}</head>
  <body>
    <noscript>This page needs JavaScript; <a href="${documentPath}">the document</a> doesn't.</noscript>
    <script id="api-reference" data-url="${documentPath}" data-configuration="${configuration}"></script>
    <script src="${SCRIPT_PATH}"></script>
  </body>
</html>`;
  return new Response(html, {
    headers: { "content-type": "text/html; charset=utf-8", "content-security-policy": POLICY },
  });
}
