/** For tests: a wheel without code to build, `greeting.TEXT`. */
import { join } from "node:path";
import { runCommand } from "./command.ts";

export const GREETING_WHEEL = "greeting-1.0-py3-none-any.whl";

const script = `
import sys, zipfile
with zipfile.ZipFile(sys.argv[1], "w") as wheel:
    wheel.writestr("greeting.py", "TEXT = 'hello'\\n")
    wheel.writestr("greeting-1.0.dist-info/METADATA", "Metadata-Version: 2.1\\nName: greeting\\nVersion: 1.0\\n")
    wheel.writestr("greeting-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\\nGenerator: test\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n")
    wheel.writestr("greeting-1.0.dist-info/RECORD", "greeting.py,,\\ngreeting-1.0.dist-info/METADATA,,\\ngreeting-1.0.dist-info/WHEEL,,\\ngreeting-1.0.dist-info/RECORD,,\\n")
`;

/** Writes it to `dir`. Throws with what Python said. */
export async function makeGreetingWheel(dir: string): Promise<void> {
  const { output } = await runCommand("python3", ["-c", script, join(dir, GREETING_WHEEL)]);
  if (output !== "") throw new Error(output);
}
