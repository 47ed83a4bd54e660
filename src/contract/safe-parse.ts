/** Checks what strangers sent. */
import * as z from "zod";

/**
 * `schema.safeParse` that really never throws. zod 4 compares the `length` of whatever has one with a text's or a list's bounds, and
 * throws a TypeError at `{"length": {"toString": 1}}`, which has no primitive value.
 */
export function safeParse<T>(schema: z.ZodType<T>, value: unknown): z.ZodSafeParseResult<T> {
  try {
    return schema.safeParse(value);
  } catch (thrown) {
    if (!(thrown instanceof TypeError)) throw thrown;
    const message = "an object with a `length` of its own stands where a text or a list must be";
    const error = new z.ZodError([{ code: "custom", path: [], message, input: undefined }]);
    return { success: false, error: error as z.ZodError<T> };
  }
}
