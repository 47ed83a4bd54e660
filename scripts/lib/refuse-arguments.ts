import { StackError } from "./stack-error.ts";

/** Throws where a command that has its settings from the environment alone was given arguments. */
export function refuseArguments(command: string, args = process.argv.slice(2)): void {
  if (args.length === 0) return;
  const settings = `its settings are environment variables, such as PORT=8788; ${command} --help names them`;
  throw new StackError(
    `it takes no arguments, and was given ${args.map((arg) => JSON.stringify(arg)).join(" ")}: ${settings}`,
  );
}
