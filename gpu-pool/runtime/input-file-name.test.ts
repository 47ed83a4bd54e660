import { expect, test } from "vitest";
import { inputFileName } from "./input-file-name.ts";
import { threadCpuMs } from "../../test/unit/thread-time.ts";

const named = (contentDisposition: string | undefined, contentType: string | undefined, ...urls: string[]) =>
  inputFileName({ contentDisposition, contentType, addresses: urls.map((url) => new URL(url, "https://a.test/")) });

test.each([
  ["attachment; filename=cat.jpg", "cat.jpg"],
  ["attachment;filename=cat.jpg;size=7", "cat.jpg"],
  ["attachment; filename=my cat.jpg", "my_cat.jpg"],
  ['attachment; filename="cat.jpg"', "cat.jpg"],
  ['ATTACHMENT; FILENAME="cat.jpg"', "cat.jpg"],
  ['inline; filename = "cat.jpg"', "cat.jpg"],
  ["filename=cat.jpg", "cat.jpg"],
  ['attachment; filename="a;b\\".jpg"; x=y', "a_b_.jpg"],
  ['attachment; name="; filename=evil.exe"; filename=cat.jpg', "cat.jpg"],
  ["attachment; filename*=UTF-8''%E5%86%99%E7%9C%9F.png", "__.png"],
  ["attachment; filename*=utf-8'en'na%C3%AFve.png", "na_ve.png"],
  ["attachment; filename*=ISO-8859-1''na%EFve.png", "na_ve.png"],
  ["attachment; filename=plain.jpg; filename*=UTF-8''coded.png", "coded.png"],
  ["attachment; filename*=UTF-8''coded.png; filename=plain.jpg", "coded.png"],
  ["attachment; filename*=UTF-8''%E5%86.png; filename=plain.jpg", "plain.jpg"],
  ["attachment; filename*=koi8-r''%C3.png; filename=plain.jpg", "plain.jpg"],
  ['attachment; filename="../../etc/cat.png"', "cat.png"],
  ['attachment; filename="C:\\\\photos\\\\cat.png"', "cat.png"],
  ['attachment; filename=".cat.png"', "_cat.png"],
  ["attachment; filename*=UTF-8''%2E%2E%2Fcat.png", "cat.png"],
  ["attachment; filename=", "blob"],
  ["attachment", "blob"],
  ['attachment; filename=".."', "blob"],
])("the server's name: %s", (contentDisposition, name) => {
  expect(named(contentDisposition, undefined, "/blob")).toBe(name);
});

test("where the server gives no name with an extension, the URL that answered has it, else the client's own, else a redirect", () => {
  expect(named(undefined, undefined, "/a.jpg", "/b.png", "/c.gif")).toBe("c.gif");
  expect(named(undefined, undefined, "/moved/cat.jpg", "/b.png", "/blob/5f3a9c")).toBe("cat.jpg");
  expect(named(undefined, undefined, "/short", "/cat.jpg", "/blob/5f3a9c")).toBe("cat.jpg");
  expect(named("attachment; filename=download", undefined, "/cat.jpg?x=1", "/blob/5f3a9c#x")).toBe("cat.jpg");
  expect(named("attachment; filename=dog.png", "image/gif", "/moved/cat.jpg", "/cat.jpg")).toBe("dog.png");
});

test("where no name has an extension, it is the usual one of the media type", () => {
  expect(named(undefined, "image/jpeg", "/blob/5f3a9c")).toBe("5f3a9c.jpg");
  expect(named(undefined, "Audio/MPEG; charset=x", "/blob/5f3a9c")).toBe("5f3a9c.mp3");
  expect(named("attachment; filename=cat", "image/png", "/blob")).toBe("cat.png");
  expect(named(undefined, "image/png", "/")).toBe("file.png");
  expect(named(undefined, "application/octet-stream", "/blob/5f3a9c")).toBe("5f3a9c");
  expect(named(undefined, undefined, "/")).toBe("file");
});

test("what looks like an extension and is none is not taken for one", () => {
  expect(named(undefined, "image/png", "/releases/v1.0")).toBe("v1.0.png");
  expect(named(undefined, "image/png", "/get.php?id=7")).toBe("get.php.png");
  expect(named(undefined, "image/png", "/cat.jpg", "/download.aspx")).toBe("cat.jpg");
  expect(named(undefined, "image/png", "/a.this-is-no-extension")).toBe("a.this-is-no-extension.png");
  expect(named(undefined, undefined, "/get.php")).toBe("get.php");
});

test("escapes in a URL are read: folders in one, and letters beyond ASCII", () => {
  expect(named(undefined, undefined, "/o/folder%2Fcat.jpg?alt=media")).toBe("cat.jpg");
  expect(named(undefined, undefined, "/%E5%86%99.png")).toBe("_.png");
  expect(named(undefined, undefined, "/%ff.png")).toBe("_ff.png");
  expect(named(undefined, undefined, "/..%2f..%2fcat%00.jpg")).toBe("cat_.jpg");
});

test("a long name keeps its extension, and a hostile header takes no time", () => {
  expect(named(undefined, "image/png", `/${"x".repeat(300)}`)).toMatch(/^x{96}\.png$/);
  expect(named(`attachment; filename=${"x".repeat(300)}.jpeg`, undefined, "/")).toMatch(/^x{95}\.jpeg$/);
  const startedAtMs = threadCpuMs();
  for (const hostile of [
    `filename="${"\\a".repeat(8000)}`,
    ";=".repeat(8000),
    `;${" ".repeat(16_000)}`,
    "a".repeat(16_000),
  ])
    expect(named(hostile, undefined, "/cat.jpg")).toBe("cat.jpg");
  expect(threadCpuMs() - startedAtMs).toBeLessThan(1000);
});
