import fc from "fast-check";
import { expect, it } from "vitest";
import { decodeFrames, encodeFrames, FRAME_HEADER_BYTES, MAX_FRAMES } from "./chunk-frames.ts";

const frame = fc.record({
  sha256: fc.stringMatching(/^[0-9a-f]{64}$/),
  content: fc.uint8Array({ minLength: 1, maxLength: 50 }).map((bytes) => new Uint8Array(bytes)),
});

it("gives back the chunks that were put together", () => {
  fc.assert(
    fc.property(fc.array(frame, { maxLength: 20 }), (frames) => {
      expect(decodeFrames(encodeFrames(frames))).toEqual(frames);
    }),
  );
});

it("takes no body that was cut, wherever it was", () => {
  fc.assert(
    fc.property(frame, frame, fc.nat(), (first, second, at) => {
      const body = encodeFrames([first, second]);
      const boundary = FRAME_HEADER_BYTES + first.content.length;
      const length = 1 + (at % (body.length - 1));
      const decoded = decodeFrames(body.subarray(0, length));
      if (length === boundary) expect(decoded).toEqual([first]);
      else expect(decoded).toBeNull();
    }),
  );
});

it("takes no lengths beyond the body, no empty chunks, and no more than it may hold", () => {
  const body = encodeFrames([{ sha256: "ab".repeat(32), content: new Uint8Array(3) }]);
  const lying = body.slice();
  new DataView(lying.buffer).setUint32(32, 0xff_ff_ff_ff);
  expect(decodeFrames(lying)).toBeNull();
  expect(decodeFrames(encodeFrames([{ sha256: "ab".repeat(32), content: new Uint8Array() }]))).toBeNull();
  const many = (length: number) =>
    encodeFrames(Array.from({ length }, () => ({ sha256: "ab".repeat(32), content: new Uint8Array(1) })));
  expect(decodeFrames(many(MAX_FRAMES))).toHaveLength(MAX_FRAMES);
  expect(decodeFrames(many(MAX_FRAMES + 1))).toBeNull();
});
