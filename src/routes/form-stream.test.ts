import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { fieldText, formBoundary, readForm, skip } from "./form-stream.ts";

type Field = { name: string; fileName: string | null; bytes: number[] };

/** As in workerd, a piece is gone once the next one is asked for. */
async function* cut(bytes: Uint8Array, size: number): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += size) {
    const piece = bytes.slice(at, at + size);
    yield piece;
    piece.fill(0);
  }
}

async function fieldsOf(bytes: Uint8Array, boundary: string, size: number): Promise<Field[]> {
  const fields: Field[] = [];
  await readForm(cut(bytes, size), boundary, async ({ name, fileName }, content) => {
    const read: number[] = [];
    for await (const piece of content) read.push(...piece);
    fields.push({ name, fileName, bytes: read });
  });
  return fields;
}

const text = (value: string) => new TextEncoder().encode(value);

describe("a form", () => {
  test("that comes byte by byte is handed on in larger pieces", async () => {
    const long = "x".repeat(10_000);
    const form = text(`--b\r\nContent-Disposition: form-data; name="content"\r\n\r\n${long}\r\n--b--\r\n`);
    const pieces: number[] = [];
    await readForm(cut(form, 1), "b", async (_, content) => {
      for await (const piece of content) pieces.push(piece.length);
    });
    expect(pieces.reduce((sum, length) => sum + length, 0)).toBe(long.length);
    expect(pieces.length).toBeLessThan(12);
  });

  test("is read as the platform reads it, however it is cut", async () => {
    // Bytes that look like the beginning of a boundary come up often.
    const byte = fc.oneof(fc.constantFrom(13, 10, 45, 45), fc.integer({ min: 0, max: 255 }));
    const file = fc.record({
      name: fc.stringMatching(/^[\w "äé-]{1,12}$/),
      fileName: fc.stringMatching(/^[\w "ä.-]{1,12}$/),
      bytes: fc.array(byte, { maxLength: 200 }),
    });
    await fc.assert(
      fc.asyncProperty(fc.array(file, { maxLength: 4 }), fc.integer({ min: 1, max: 300 }), async (files, size) => {
        const form = new FormData();
        for (const { name, fileName, bytes } of files) form.append(name, new Blob([new Uint8Array(bytes)]), fileName);
        const encoded = new Response(form);
        const boundary = formBoundary(encoded.headers.get("content-type")) ?? "";
        const read = await fieldsOf(new Uint8Array(await encoded.arrayBuffer()), boundary, size);
        expect(read).toEqual(files);
      }),
      { numRuns: 200 },
    );
  });

  test("may have a preamble, plain parameters, an extended name and no last line", async () => {
    const body = `before\r\n--b\r\nContent-Disposition: form-data; name=a\r\n\r\n1\r\n--b  \r\ncontent-disposition: form-data; name="f"; filename="x"; filename*=UTF-8''na%C3%AFve.txt\r\n\r\n\r\n--b--`;
    const fields = await fieldsOf(text(body), "b", 7);
    expect(fields).toEqual([
      { name: "a", fileName: null, bytes: [49] },
      { name: "f", fileName: "naïve.txt", bytes: [] },
    ]);
  });

  test.each([
    ["", "breaks off"],
    ["--b\r\n", "breaks off"],
    ['--b\r\nContent-Disposition: form-data; name="a"\r\n\r\nno end', "breaks off"],
    ["--b\r\nContent-Type: text/plain\r\n\r\nx\r\n--b--", "no name"],
    ["--bad\r\n\r\n--bad--", "followed by something else"],
    [`--b\r\nX: ${"x".repeat(20_000)}\r\n\r\n--b--`, "too long"],
  ])("that can't be read is refused: %#", async (body, reason) => {
    await expect(fieldsOf(text(body), "b", 1000)).rejects.toThrow(reason);
  });

  test.each([
    ["of a long line that comes at once", `X: ${"x".repeat(20_000)}\r\n`],
    ["of many short lines", "X: x\r\n".repeat(4000)],
  ])("has no head %s", async (_what, lines) => {
    const body = `--b\r\n${lines}Content-Disposition: form-data; name="a"\r\n\r\n\r\n--b--`;
    await expect(fieldsOf(text(body), "b", body.length)).rejects.toThrow("too long");
  });

  test("has at most 100 fields", async () => {
    const field = '--b\r\nContent-Disposition: form-data; name="a"\r\n\r\n\r\n';
    await expect(fieldsOf(text(`${field.repeat(101)}--b--`), "b", 1000)).rejects.toThrow("more than 100 fields");
  });

  test("never throws anything but a refusal", async () => {
    await fc.assert(
      fc.asyncProperty(fc.uint8Array({ maxLength: 300 }), fc.integer({ min: 1, max: 50 }), async (bytes, size) => {
        const whole = new Uint8Array([...text("--b\r\n"), ...bytes]);
        await fieldsOf(whole, "b", size).catch((thrown: unknown) =>
          expect(thrown).toMatchObject({ code: "invalid_request" }),
        );
      }),
      { numRuns: 500 },
    );
  });

  test("text that is too long is null", async () => {
    expect(await fieldText(cut(text("grün"), 3), 5)).toBe("grün");
    expect(await fieldText(cut(text("grün"), 3), 4)).toBeNull();
    await skip(cut(text("x"), 1));
  });
});

test.each([
  ["multipart/form-data; boundary=abc", "abc"],
  ['multipart/form-data; charset=utf-8; boundary="a b"', "a b"],
  ["Multipart/Form-Data;boundary=x", "x"],
  ["multipart/mixed; boundary=abc", null],
  ["multipart/form-data", null],
  [null, null],
])("the boundary of %s", (header, boundary) => {
  expect(formBoundary(header)).toBe(boundary);
});
