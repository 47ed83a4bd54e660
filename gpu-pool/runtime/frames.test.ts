import fc from "fast-check";
import { expect, test } from "vitest";
import { encodeFrame, FrameDecoder, MAX_FRAME_BYTES } from "./frames.ts";

test("whatever the chunks are, the frames come out whole and in order", () => {
  fc.assert(
    fc.property(
      fc.array(fc.jsonValue(), { maxLength: 6 }),
      fc.array(fc.integer({ min: 1, max: 40 })),
      (values, cuts) => {
        const texts = values.map((value) => JSON.stringify(value));
        const bytes = Buffer.concat(texts.map(encodeFrame));
        const decoder = new FrameDecoder();
        const seen: string[] = [];
        for (let at = 0, cut = 0; at < bytes.length; cut += 1) {
          const size = cuts[cut % Math.max(1, cuts.length)] ?? 7;
          for (const frame of decoder.push(bytes.subarray(at, at + size))) seen.push(JSON.stringify(frame.value));
          at += size;
        }
        expect(seen).toEqual(texts.map((text) => JSON.stringify(JSON.parse(text))));
      },
    ),
  );
});

test("a frame over the limit, or one that is not JSON, is an error", () => {
  const header = Buffer.alloc(4);
  header.writeUInt32BE(MAX_FRAME_BYTES + 1);
  expect(() => new FrameDecoder().push(header)).toThrow("over the limit");
  expect(() => new FrameDecoder().push(encodeFrame("{oops"))).toThrow(SyntaxError);
});

test("tells whether an output file may be inside", () => {
  const [plain, file] = new FrameDecoder().push(
    Buffer.concat([encodeFrame('{"output":"$file"}'), encodeFrame('{"output":[{"$file":"/x"}]}')]),
  );
  expect(plain?.mentionsFile).toBe(true);
  expect(file?.mentionsFile).toBe(true);
  expect(new FrameDecoder().push(encodeFrame('{"output":"x"}'))[0]?.mentionsFile).toBe(false);
});
