/**
 * Prepares one model's environment as a pool does, in a process of its own: `node prepare.ts MODEL_DIR
 * ENVIRONMENTS_DIR`, cog.yaml's content as JSON on stdin.
 */
import { text } from "node:stream/consumers";
import { CogYamlSchema } from "../../gpu-pool/runtime/environments/cog-yaml.ts";
import { prepareEnvironment } from "../../gpu-pool/runtime/environments/index.ts";

const [modelDir = "", environmentsDir = ""] = process.argv.slice(2);
const lines: string[] = [];
const cog = CogYamlSchema.parse(JSON.parse(await text(process.stdin)));
const { python, warnings } = await prepareEnvironment({
  modelDir,
  cog,
  environmentsDir,
  log: (line) => void lines.push(line),
});
console.log(JSON.stringify({ python, warnings, lines }));
