/** Checks what strangers sent. */
import * as z from "zod";

/**
 * `schema.safeParse` that really never throws. zod 4 compares the `length` of whatever has one with a text's or a
 * list's bounds, and throws a TypeError at `{"length": {"toString": 1}}`, which has no primitive value.
 */
export function safeParse<Schema extends z.ZodType>(
  schema: Schema,
  value: unknown,
): z.ZodSafeParseResult<z.output<Schema>> {
  try {
    return schema.safeParse(value);
  } catch (thrown) {
    if (!(thrown instanceof TypeError)) throw thrown;
    const message = "an object with a `length` of its own stands where a text or a list must be";
    const error: unknown = new z.ZodError([{ code: "custom", path: [], message, input: undefined }]);
    return { success: false, error: error as z.ZodError<z.output<Schema>> };
  }
}
