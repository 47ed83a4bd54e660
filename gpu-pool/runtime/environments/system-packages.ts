/** Which of a model's system packages the machine lacks. Nothing is installed: that is the operator's to do. */
import { runCommand } from "./command.ts";

const timeoutMs = 10_000;

/** A warning that names the packages that dpkg does not have; null when all are there. */
export async function missingSystemPackages(names: readonly string[]): Promise<string | null> {
  if (names.length === 0) return null;
  const wanted = names.map((name) => name.split("=")[0] ?? name);
  const result = await runCommand("dpkg-query", ["-W", "-f", "${Package} ${db:Status-Status}\\n", ...wanted], {
    timeoutMs,
  });
  if (result.missing) return `system_packages can't be checked without dpkg; the model wants: ${wanted.join(", ")}`;
  const installed = new Set(
    result.stdout
      .split("\n")
      .filter((line) => line.endsWith(" installed"))
      .map((line) => line.split(" ")[0]),
  );
  const missing = wanted.filter((name) => !installed.has(name));
  if (missing.length === 0) return null;
  return `system packages are missing: ${missing.join(", ")} (apt-get install ${missing.join(" ")})`;
}
