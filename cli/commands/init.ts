/** `edgeplane init`: a model folder that runs. */
import { existsSync, mkdirSync, readdirSync, writeFileSync } from "node:fs";
import { basename, join, resolve } from "node:path";
import type { Command } from "commander";
import type { Context } from "../context.ts";
import { CliError, exitCodes } from "../errors.ts";
import { note } from "../output.ts";

const NAME = /^[a-z0-9][a-z0-9._-]{0,62}$/;

const COG = `build:
  python_version: "3.11"
  # python_requirements: requirements.txt
run: "run.py:Runner"
edgeplane:
  description: "Says hello"
  maxBatchSize: 8
`;

const RUN = `from cog import BaseRunner, Input


class Runner(BaseRunner):
    def setup(self) -> None:
        """Runs once, when the process starts: load weights here."""
        self.greeting = "Hello"

    def run(self, text: str = Input(description="Whom to greet", default="world")) -> str:
        """Runs for each prediction."""
        return f"{self.greeting}, {text}!"
`;

const README = (name: string): string => `# ${name}

\`run.py\` is the model, \`cog.yaml\` what it needs (docs/models.md of Edgeplane has all keys).

    edgeplane run . -i text=Ada        # on this machine, without a gateway
    edgeplane push .                   # as <your account>/${name}, at your gateway
    edgeplane predict <your account>/${name} -i text=Ada
`;

export function addInit(program: Command, context: Context): void {
  program
    .command("init <folder>")
    .description("write a model folder that runs: cog.yaml, run.py, README.md")
    .action((folder: string) => init(context, folder));
}

function init({ io }: Context, shown: string): void {
  const folder = resolve(io.cwd, shown);
  const name = basename(folder);
  if (!NAME.test(name))
    throw new CliError(
      `"${name}" can't be a model's name`,
      exitCodes.usage,
      "Use lower-case letters, digits, '.', '_' and '-'.",
    );
  if (existsSync(folder) && readdirSync(folder).length > 0)
    throw new CliError(`${folder} is not empty`, exitCodes.usage);
  mkdirSync(folder, { recursive: true });
  for (const [file, text] of Object.entries({ "cog.yaml": COG, "run.py": RUN, "README.md": README(name) })) {
    writeFileSync(join(folder, file), text);
    note(io, `wrote ${join(folder, file)}`);
  }
  note(io, `next: \`edgeplane run ${shown} -i text=Ada\`, then \`edgeplane push ${shown}\``);
}
