/** What strangers may send: texts and JSON values that parsers trip over, and near misses of what is valid. */
import fc from "fast-check";

/** Pieces that mean something to one parser or another. */
const pieces = [
  ..."0123456789-+.:;,=/?#&%@~_|*\"'\\()[]{}<>$^ \t".split(""),
  ...["\r\n", "\u0000", "\u007f", "é", "１", "\u200b", "\u{1f389}", "\ud800", "%00", "%2f", "%ff", "%u0041", "\ufeff"],
  ...[
    "wait",
    "wait=",
    "respond-async",
    "s",
    "m",
    "h",
    "1h30m",
    "9".repeat(16),
    "1e308",
    "NaN",
    "Infinity",
    "-0",
    "0x7f",
  ],
  ...["n1:", "p1:", "eyJ", "==", "00-", "ff-", "0".repeat(32), "a".repeat(64), "acme/hello", "latest", "null", "true"],
  ...["https://", "http://127.0.0.1", "[::1]", "localhost", "example.com", "..", "__proto__", "constructor", "whsec_"],
  ...[
    "Basic ",
    "Bearer ",
    "session-1",
    ";start=",
    "*",
    "bytes=",
    "0-",
    "-1",
    "multipart/form-data; boundary=",
    "charset=",
  ],
];

/** One piece, over and over: what a quadratic or backtracking parser takes for ever on. */
const repeated = fc
  .tuple(
    fc.constantFrom(...pieces),
    fc.constantFrom(...pieces),
    fc.constantFrom(10, 100, 1000, 20_000),
    fc.constantFrom(...pieces),
  )
  .map(([one, two, times, end]) => (one + two).repeat(times).slice(0, 60_000) + end);

const assembled = fc.array(fc.constantFrom(...pieces), { maxLength: 12 }).map((parts) => parts.join(""));

/** Any text, short ones mostly. */
export const hostileText: fc.Arbitrary<string> = fc.oneof(
  { weight: 6, arbitrary: assembled },
  { weight: 4, arbitrary: fc.string({ unit: "binary", maxLength: 40 }) },
  { weight: 4, arbitrary: fc.string({ maxLength: 60 }) },
  { weight: 1, arbitrary: repeated },
);

/** A text that `valid` gives, changed in a few places; sometimes left as it is. */
export function nearly(valid: fc.Arbitrary<string>): fc.Arbitrary<string> {
  const change = fc.tuple(fc.nat(), fc.nat({ max: 3 }), fc.constantFrom("", ...pieces));
  const changed = fc.tuple(valid, fc.array(change, { maxLength: 3 })).map(([text, changes]) =>
    changes.reduce((result, [at, removed, inserted]) => {
      const place = result.length === 0 ? 0 : at % (result.length + 1);
      return result.slice(0, place) + inserted + result.slice(place + removed);
    }, text),
  );
  return fc.oneof({ weight: 3, arbitrary: changed }, { weight: 1, arbitrary: hostileText });
}

const names = fc.constantFrom(
  "id",
  "input",
  "type",
  "__proto__",
  "constructor",
  "toString",
  "length",
  "",
  "a.b",
  "é",
  "0",
);
const leaf: fc.Arbitrary<unknown> = fc.oneof(
  fc.constantFrom<unknown>(
    null,
    true,
    false,
    0,
    -1,
    1.5,
    1e21,
    2 ** 53,
    -(2 ** 63),
    Number.POSITIVE_INFINITY,
    "",
    "0",
    [],
    {},
  ),
  hostileText,
  fc.double(),
  fc.integer(),
);
const nested = fc.nat({ max: 200 }).map((depth) => {
  let value: unknown = 1;
  for (let level = 0; level < depth; level += 1) value = level % 2 === 0 ? [value] : { a: value };
  return value;
});

/** Any JSON value, with the numbers and names that `JSON.parse` can bring. */
export const hostileJson: fc.Arbitrary<unknown> = fc.oneof(
  { weight: 8, arbitrary: leaf },
  { weight: 3, arbitrary: fc.array(leaf, { maxLength: 6 }) },
  { weight: 3, arbitrary: fc.dictionary(names, leaf, { maxKeys: 5 }) },
  { weight: 1, arbitrary: fc.jsonValue() },
  { weight: 1, arbitrary: nested },
);

/** Text of JSON: one of `samples` with values replaced, dropped or added anywhere, or broken as a text. */
export function hostileJsonText(samples: readonly unknown[]): fc.Arbitrary<string> {
  const edit = fc.tuple(
    fc.array(fc.nat(), { maxLength: 6 }),
    fc.constantFrom("replace", "drop", "add"),
    names,
    hostileJson,
  );
  const edited = fc.tuple(fc.constantFrom(...samples), fc.array(edit, { maxLength: 3 })).map(([sample, edits]) => {
    const root = { body: structuredClone(sample) };
    for (const [path, kind, name, value] of edits) editAt(root, path, kind, name, structuredClone(value));
    return text(root.body);
  });
  return fc.oneof(
    { weight: 60, arbitrary: edited },
    { weight: 12, arbitrary: nearly(edited) },
    { weight: 6, arbitrary: hostileJson.map(text) },
    {
      weight: 1,
      arbitrary: fc.constantFrom(
        "[".repeat(100_000),
        '{"a":'.repeat(50_000),
        '"\\ud800"',
        '{"a":1,"a":2}',
        "01",
        "[1,]",
      ),
    },
  );
}

/** Walks down from `root` by `path` and changes the value that it comes to. */
function editAt(
  root: { [key: string]: unknown },
  path: readonly number[],
  kind: string,
  name: string,
  value: unknown,
): void {
  let holder: Record<string, unknown> = root;
  let key = "body";
  for (const step of path) {
    const inner = holder[key];
    if (typeof inner !== "object" || inner === null) break;
    const keys = Object.keys(inner);
    const next = keys[step % Math.max(1, keys.length)];
    if (next === undefined) break;
    holder = inner as Record<string, unknown>;
    key = next;
  }
  const own = (target: Record<string, unknown>, property: string) =>
    Object.defineProperty(target, property, { value, enumerable: true, configurable: true, writable: true });
  const inner = holder[key];
  if (kind === "drop" && holder !== root) Reflect.deleteProperty(holder, key);
  else if (kind === "add" && typeof inner === "object" && inner !== null && !Array.isArray(inner))
    own(inner as Record<string, unknown>, name);
  else own(holder, key);
}

/** `JSON.stringify` would write an infinite number as null. */
function text(value: unknown): string {
  const written = JSON.stringify(value, (_key, one: unknown) => (one === Number.POSITIVE_INFINITY ? "@inf@" : one));
  return written?.replaceAll('"@inf@"', "1e999") ?? "";
}
