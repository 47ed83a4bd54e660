import { expect, it } from "vitest";
import { originOf } from "./submission.ts";

it.each([
  "https://edge.test/",
  "http://127.0.0.1:8787/v1/predictions?wait=https://other.test/",
  "https://[::1]:8443/v1/models/a/b/predictions",
])("takes the origin of %s", (text) => {
  const { href, origin } = new URL(text);
  expect(originOf(href)).toBe(origin);
});
