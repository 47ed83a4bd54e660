/** `edgeplane completion`: a script for bash, zsh or fish, made from the commands themselves. */
import type { Command } from "commander";
import type { Context } from "../context.ts";
import { CliError, exitCodes } from "../errors.ts";

const shells = ["bash", "zsh", "fish"] as const;

export function addCompletion(program: Command, context: Context): void {
  program
    .command("completion <shell>")
    .description("print a completion script: bash, zsh or fish")
    .addHelpText("after", '\n  eval "$(edgeplane completion bash)"')
    .action((shell: string) => {
      const known = shells.find((one) => one === shell);
      if (known === undefined)
        throw new CliError(`"${shell}" is no shell that is known: ${shells.join(", ")}`, exitCodes.usage);
      context.io.stdout.write(known === "fish" ? fishScript(program) : bashScript(program, known === "zsh"));
    });
}

/** What may follow each command, by the words before it: `predictions` → its commands. */
function wordsOf(program: Command): [string, string[]][] {
  const optionsOf = (command: Command): string[] => command.options.map(({ long, short }) => long ?? short ?? "");
  const globals = [...optionsOf(program), "--help"];
  const entries: [string, string[]][] = [["", [...program.commands.map((one) => one.name()), ...globals]]];
  for (const command of program.commands) {
    const below = command.commands.map((one) => one.name());
    entries.push([command.name(), [...below, ...optionsOf(command), "--help"]]);
    for (const one of command.commands)
      entries.push([`${command.name()} ${one.name()}`, [...optionsOf(one), "--help"]]);
  }
  return entries;
}

function bashScript(program: Command, isZsh: boolean): string {
  const cases = wordsOf(program).map(([before, words]) => `    "${before}") words="${words.join(" ")}" ;;`);
  return `${isZsh ? "autoload -U +X bashcompinit && bashcompinit\n" : ""}_edgeplane() {
  local before="" word words=""
  for word in "\${COMP_WORDS[@]:1:COMP_CWORD-1}"; do
    case "$word" in -*) ;; *) before="\${before:+$before }$word" ;; esac
  done
  before="$(echo "$before" | cut -d' ' -f1-2)"
  case "$before" in
${cases.join("\n")}
  esac
  [ -n "$words" ] && COMPREPLY=($(compgen -W "$words" -- "\${COMP_WORDS[COMP_CWORD]}"))
}
complete -o default -F _edgeplane edgeplane
`;
}

function fishScript(program: Command): string {
  const lines = program.commands.flatMap((command) => {
    const first = `complete -c edgeplane -n __fish_use_subcommand -a ${command.name()} -d ${quote(command.description())}`;
    const below = command.commands.map(
      (one) =>
        `complete -c edgeplane -n "__fish_seen_subcommand_from ${command.name()}" -a ${one.name()} -d ${quote(one.description())}`,
    );
    return [first, ...below];
  });
  return `${lines.join("\n")}\n`;
}

function quote(text: string): string {
  return `'${text.replaceAll("'", "\\'")}'`;
}
