/** docs/cli.md, made from the command itself: `npm run format` writes it, `npm run check` finds it out of date. */
import { readFileSync, writeFileSync } from "node:fs";
import { PassThrough } from "node:stream";
import { fileURLToPath } from "node:url";
import { allOf, createProgram } from "../../cli/program.ts";

const file = fileURLToPath(new URL("../../docs/cli.md", import.meta.url));
const WIDTH = 100;

type Command = ReturnType<typeof createProgram>;

const HEAD = `# The \`edgeplane\` command

\`npx edgeplane\` in the repository runs it; \`npm link\` puts it on the PATH of a machine. While \`npm start\` runs, it
needs no settings: it finds the local stack from the folder that you are in, or one above it.

\`\`\`sh
npx edgeplane doctor
npx edgeplane predict local/hello-world -i text=Ada
npx edgeplane predictions list --limit 5
npx edgeplane models list
\`\`\`

![\`edgeplane doctor\` in a terminal: each check with what it found](pictures/doctor.svg)

![\`edgeplane predict\` in a terminal: the place in the queue, then the output](pictures/predict.svg)

For a deployed gateway, keep its address and your key once (\`~/.config/edgeplane/config.json\`, which only you can
read), or set \`EDGEPLANE_URL\` and \`EDGEPLANE_API_KEY\`. Operators add \`--admin-key\`, or \`EDGEPLANE_ADMIN_KEY\`.
\`edgeplane topics\` reads the log over HTTP ([kafka.md](kafka.md)) as the user \`EDGEPLANE_KAFKA_USERNAME\` with
\`EDGEPLANE_KAFKA_PASSWORD\`, of a bridge at \`EDGEPLANE_KAFKA_URL\`; the local stack's own user it finds by itself.

    edgeplane login --url https://edge.example.com

A model of your own, from nothing:

    edgeplane init my-model
    edgeplane run my-model -i text=Ada
    edgeplane push my-model

[push.md](push.md) tells what is pushed and sent. Results go to stdout, all else to stderr; \`--json\` prints JSON.
\`eval "$(edgeplane completion bash)"\` completes commands and options (also \`zsh\`, \`fish\`). \`npm run format\` makes
the rest of this page from the command.
`;

/** The page's text. */
function cliDoc(): string {
  const silent = new PassThrough();
  const program = createProgram({
    stdin: silent,
    stdout: silent,
    stderr: silent,
    env: {},
    cwd: "/",
    onInterrupt: () => () => {},
    onReaderGone: () => () => {},
  });
  const commands = allOf(program).filter(({ commands: below }) => below.length === 0);
  return `${HEAD}\n## All of it\n\n${section(program, "edgeplane")}${commands.map((one) => section(one, nameOf(one))).join("")}`;
}

function section(command: Command, name: string): string {
  command.configureHelp({ helpWidth: WIDTH });
  const help = command.helpInformation().trimEnd();
  return `### \`${name}\`\n\n\`\`\`\n${help}\n\`\`\`\n\n`;
}

function nameOf(command: Command): string {
  return command.parent === null ? command.name() : `${nameOf(command.parent)} ${command.name()}`;
}

export function writeCliDoc(): void {
  writeFileSync(file, `${cliDoc().trimEnd()}\n`);
}

/** Code 0 when the page says what the command says. */
export function checkCliDoc(): { code: number; output: string } {
  if (readFileSync(file, "utf8") === `${cliDoc().trimEnd()}\n`) return { code: 0, output: "" };
  return { code: 1, output: "docs/cli.md is not what the command says: run `npm run format`.\n" };
}
