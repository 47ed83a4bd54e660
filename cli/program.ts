/** All commands, and how they end. */
import { Command, CommanderError } from "commander";
import { addAdmin } from "./commands/admin.ts";
import { addAliases } from "./commands/aliases.ts";
import { addBudgets, addUsage } from "./commands/budgets.ts";
import { addCanary } from "./commands/canary.ts";
import { addCompletion } from "./commands/completion.ts";
import { addDeployments } from "./commands/deployments.ts";
import { addDoctor } from "./commands/doctor.ts";
import { addEnvironments } from "./commands/environments.ts";
import { addInit } from "./commands/init.ts";
import { addLogin } from "./commands/login.ts";
import { addModels } from "./commands/models.ts";
import { addPools } from "./commands/pools.ts";
import { addPredict } from "./commands/predict.ts";
import { addPredictions } from "./commands/predictions.ts";
import { addPush } from "./commands/push.ts";
import { addRoutes } from "./commands/routes.ts";
import { addRun } from "./commands/run.ts";
import { addScaling } from "./commands/scaling.ts";
import { addSettings } from "./commands/settings.ts";
import { addTopics } from "./commands/topics.ts";
import { createContext } from "./context.ts";
import { CliError, exitCodes } from "./errors.ts";
import type { Io } from "./io.ts";
import { note } from "./output.ts";

const EXIT_CODES = `
Exit codes: 0 done; 1 refused, or it failed; 2 used wrongly; 3 no key, or not allowed; 4 not found; 5 the gateway can't
be reached; 130 interrupted.`;

/** The program with all its commands; nothing has been parsed. */
export function createProgram(io: Io): Command {
  const program = new Command("edgeplane");
  const context = createContext(io, program);
  program
    .description("Run and operate models on an Edgeplane gateway.")
    .option("--url <address>", "the gateway (default: EDGEPLANE_URL, the profile, or the local stack)")
    .option("--key <key>", "the API key (default: EDGEPLANE_API_KEY, or the profile's)")
    .option("--admin-key <key>", "the operator's key (default: EDGEPLANE_ADMIN_KEY, or the profile's)")
    .option("--profile <name>", "a profile that `edgeplane login` wrote (default: the last one)")
    .option("--json", "print JSON, for scripts")
    .addHelpText("after", EXIT_CODES)
    .showHelpAfterError("(--help lists what there is)");
  addLogin(program, context);
  addInit(program, context);
  addRun(program, context);
  addPush(program, context);
  addPredict(program, context);
  addPredictions(program, context);
  addModels(program, context);
  addAliases(program, context);
  addCanary(program, context);
  addRoutes(program, context);
  addDeployments(program, context);
  addAdmin(program, context);
  addPools(program, context);
  addEnvironments(program, context);
  addTopics(program, context);
  addSettings(program, context);
  addBudgets(program, context);
  addUsage(program, context);
  addScaling(program, context);
  addDoctor(program, context);
  addCompletion(program, context);
  for (const command of allOf(program)) {
    command.exitOverride();
    command.configureOutput({
      writeOut: (text) => void io.stdout.write(text),
      writeErr: (text) => void io.stderr.write(text),
    });
  }
  return program;
}

/** A command, and all below it. */
export function allOf(command: Command): Command[] {
  return [command, ...command.commands.flatMap(allOf)];
}

/** Runs a command; returns its exit code. */
export async function run(io: Io, args: readonly string[], program = createProgram(io)): Promise<number> {
  try {
    await program.parseAsync([...args], { from: "user" });
    return exitCodes.done;
  } catch (error) {
    if (error instanceof CommanderError) return error.exitCode === 0 ? exitCodes.done : exitCodes.usage;
    if (isOfSystem(error)) {
      note(io, `edgeplane: ${error.message}`);
      return exitCodes.failed;
    }
    if (!(error instanceof CliError)) throw error;
    note(io, `edgeplane: ${error.message}`);
    if (error.remedy !== null) note(io, error.remedy);
    return error.exitCode;
  }
}

/** A file or folder that the system refuses: its own words name it. */
function isOfSystem(error: unknown): error is Error {
  return error instanceof Error && "syscall" in error;
}
