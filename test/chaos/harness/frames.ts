/**
 * WebSocket frames (RFC 6455, section 5.2) as they pass by: each is handed on whole, with its text where it has one.
 * Compression must be off.
 */
const TEXT = 1;
const MASKED = 0x80;
const EXTENDED_16 = 126;
const EXTENDED_64 = 127;

export type Frame = { bytes: Buffer; text: string | null };

/** Cuts a stream into frames; what isn't whole yet waits for the rest. */
export function createFrameReader(): (data: Buffer) => Frame[] {
  let rest = Buffer.alloc(0);
  return (data) => {
    rest = Buffer.concat([rest, data]);
    const frames: Frame[] = [];
    for (let size = sizeOf(rest); size !== null && size <= rest.length; size = sizeOf(rest)) {
      const bytes = rest.subarray(0, size);
      frames.push({ bytes, text: textOf(bytes) });
      rest = rest.subarray(size);
    }
    return frames;
  };
}

/** Bytes of the frame at the start of `data`; null while that can't be told. */
function sizeOf(data: Buffer): number | null {
  if (data.length < 2) return null;
  const header = headerBytes(data);
  if (data.length < header) return null;
  const short = data.readUInt8(1) & 0x7f;
  if (short === EXTENDED_16) return header + data.readUInt16BE(2);
  return header + (short === EXTENDED_64 ? Number(data.readBigUInt64BE(2)) : short);
}

function headerBytes(data: Buffer): number {
  const short = data.readUInt8(1) & 0x7f;
  const extended = short === EXTENDED_16 ? 2 : short === EXTENDED_64 ? 8 : 0;
  return 2 + extended + (isMasked(data) ? 4 : 0);
}

function isMasked(data: Buffer): boolean {
  return (data.readUInt8(1) & MASKED) !== 0;
}

function textOf(frame: Buffer): string | null {
  if ((frame.readUInt8(0) & 0x0f) !== TEXT) return null;
  const header = headerBytes(frame);
  const payload = frame.subarray(header);
  if (!isMasked(frame)) return payload.toString("utf8");
  const mask = frame.subarray(header - 4, header);
  return Buffer.from(payload.map((byte, index) => byte ^ (mask[index % 4] ?? 0))).toString("utf8");
}
