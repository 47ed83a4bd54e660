/**
 * `node launch.mjs <arguments of kafka-local>`, with any Node from 20 on: runs main.ts under one that can. Packages
 * that are missing, or that npm is replacing at this very moment, are one line and exit code 2.
 */
import { spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { constants } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { modernNode, root, toolEnv } from "../bootstrap.mjs";

const EXIT_MISSING = 2;
/** npm removes it when it begins to install from nothing, and writes it last. */
const installed = join(root, "node_modules/.package-lock.json");

function sayMissing() {
  console.error("kafka-local: the packages are not there: run npm ci, or wait for the one that runs.");
  process.exit(EXIT_MISSING);
}

function runElsewhere() {
  const args = ["--disable-warning=ExperimentalWarning", fileURLToPath(import.meta.url), ...process.argv.slice(2)];
  const child = spawn(modernNode(), args, { stdio: "inherit", env: toolEnv() });
  for (const signal of ["SIGTERM", "SIGHUP"]) process.on(signal, () => child.kill(signal));
  // A terminal's Ctrl-C has reached the child by itself.
  process.on("SIGINT", () => {});
  child.once("error", sayMissing);
  child.once("exit", (code, signal) => process.exit(code ?? 128 + constants.signals[signal ?? "SIGTERM"]));
}

if (!existsSync(installed)) sayMissing();
if (process.features.typescript) {
  try {
    await import("./main.ts");
  } catch (error) {
    if (error?.code !== "ERR_MODULE_NOT_FOUND" && existsSync(installed)) throw error;
    sayMissing();
  }
} else runElsewhere();
