/** What the model process makes of data URIs: `file_kinds.py` and `data_uris.py`, in a Python of their own. */
import { spawnSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";
import * as z from "zod";

const READ = `
import json, sys
from edgeplane_child.data_uris import NotADataUri, is_data_uri, read_data_uri

def read(uri):
    if not is_data_uri(uri):
        return ["", "is taken for no data URI", ""]
    try:
        one = read_data_uri(uri)
        return [one.extension, one.lie, one.content.decode("latin-1")]
    except NotADataUri as error:
        return ["", str(error), ""]

print(json.dumps([read(uri) for uri in json.load(sys.stdin)]))
`;
const FoundSchema = z.array(z.tuple([z.string(), z.string().nullable(), z.string()]));
const python = process.env["EDGEPLANE_TEST_PYTHON"] ?? "python3";

/** Bytes in hexadecimal with a media type that is true of them, and the extension of the kind. */
const KINDS = [
  ["89504e470d0a1a0a", "image/png", ".png"],
  ["ffd8ffe000104a464946", "image/jpeg", ".jpg"],
  ["474946383961", "image/gif", ".gif"],
  ["524946460000000057454250", "image/webp", ".webp"],
  ["424d460000000000000036000000280000000100", "image/bmp", ".bmp"],
  ["49492a0008000000", "image/tiff", ".tiff"],
  ["0000001c6674797061766966", "image/avif", ".avif"],
  ["0000001c6674797068656963", "image/heic", ".heic"],
  ["524946460000000057415645", "audio/wav", ".wav"],
  ["494433040000", "audio/mpeg", ".mp3"],
  ["fffb9064", "audio/mpeg", ".mp3"],
  ["664c614300000022", "audio/flac", ".flac"],
  ["4f67675300020000", "audio/ogg", ".ogg"],
  ["0000001c667479704d344120", "audio/mp4", ".m4a"],
  ["000000146674797071742020", "video/quicktime", ".mov"],
  ["0000001c6674797069736f6d", "video/mp4", ".mp4"],
  ["1a45dfa39f4286810142f7810142f2810442f381084282847765626d", "video/webm", ".webm"],
  ["1a45dfa3a34286810142f7810142f2810442f381084282886d6174726f736b61", "video/x-matroska", ".mkv"],
  ["524946460000000041564920", "video/x-msvideo", ".avi"],
  ["255044462d312e37", "application/pdf", ".pdf"],
  ["504b030414000000", "application/zip", ".zip"],
  ["1f8b080000000000", "application/gzip", ".gz"],
] as const;

/** The extension and the lie of each, and its bytes as Latin-1. */
function readWhole(uris: readonly string[]): z.infer<typeof FoundSchema> {
  const { stdout, stderr } = spawnSync(python, ["-c", READ], {
    input: JSON.stringify(uris),
    encoding: "utf8",
    env: { ...process.env, PYTHONPATH: fileURLToPath(new URL("../../gpu-pool/python", import.meta.url)) },
  });
  expect(stderr).toBe("");
  return FoundSchema.parse(JSON.parse(stdout));
}
const read = (uris: readonly string[]) => readWhole(uris).map(([extension, lie]) => [extension, lie]);
const uriOf = (mediaType: string, hex: string) =>
  `data:${mediaType};base64,${Buffer.from(hex, "hex").toString("base64")}`;

test("each kind is known by its first bytes: no lie where the claim is true, and its own extension where it is not", () => {
  const honest = read(KINDS.map(([hex, mediaType]) => uriOf(mediaType, hex)));
  expect(honest.map(([, lie]) => lie)).toEqual(KINDS.map(() => null));
  const lying = read(KINDS.map(([hex]) => uriOf("text/css", hex)));
  expect(lying).toEqual(
    KINDS.map(([, mediaType, extension]) => [extension, `claims to be text/css, but is ${mediaType}`]),
  );
  expect(read(KINDS.map(([hex]) => uriOf("", hex)))).toEqual(KINDS.map(([, , extension]) => [extension, null]));
});

test("a claim that nobody can contradict stands", () => {
  const zip = "504b030414000000";
  const docx = "application/vnd.openxmlformats-officedocument.wordprocessingml.document";
  expect(
    read([
      uriOf("application/octet-stream", "89504e470d0a1a0a"),
      uriOf(docx, zip),
      uriOf("image/x-adobe-dng", "49492a0008000000"),
      uriOf("image/jpg", "ffd8ffe0"),
      uriOf("audio/mpeg", "00"),
      "data:text/plain,BMW%20is%20a%20car",
      "data:text/plain;charset=utf-16;base64,//5oAGkA",
    ]).map(([, lie]) => lie),
  ).toEqual(Array.from({ length: 7 }, () => null));
});

test("what is no media type is never repeated", () => {
  expect(read(["data:image/png%0Aevil,hi", "data:image/png;base64,aGk="])).toEqual([
    [".txt", null],
    [".png", "claims to be image/png, which its bytes are not"],
  ]);
});

test("base64 is read as browsers read it: wrapped over lines, without padding, percent-encoded, behind DATA: too", () => {
  const text = "a text that is long enough for several lines of base64, as PEM and the shell's base64 wrap them.";
  const coded = btoa(text);
  const wrapped = (end: string) => coded.replaceAll(/.{76}/g, `$&${end}`);
  const ways = [
    `data:text/plain;base64,${wrapped("\n")}\n`,
    `data:text/plain;base64,${wrapped("\r\n")}`,
    `data:text/plain;base64,${wrapped("%0A")}`,
    `data:text/plain;base64, ${wrapped("\n  ")}`,
    `DATA:TEXT/PLAIN;BASE64,${coded}`,
  ];
  expect(readWhole(ways)).toEqual(ways.map(() => [".txt", null, text]));
  const padded = ["YWI=", "YWI", "Y W I =", "YWI%3D", "YWI%3d", "YWI=\f"];
  expect(readWhole(padded.map((data) => `data:;base64,${data}`)).map(([, , content]) => content)).toEqual(
    padded.map(() => "ab"),
  );
  expect(readWhole(["data:;base64,", "data:;base64,YQ", "data:;base64,YQ=="]).map(([, , content]) => content)).toEqual([
    "",
    "a",
    "a",
  ]);
  const wrong = ["!!", "Y", "Y=Q=", "=YQ=", "YQ==YQ==", "YW-_", "é"];
  for (const [index, [, lie]] of readWhole(wrong.map((data) => `data:;base64,${data}`)).entries())
    expect(lie, wrong[index]).toBe("is not a data URI: its data is not base64");
});
