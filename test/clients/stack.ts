/**
 * The whole stack behind TLS, as clients meet it when it is deployed: they take only `https:` values for files. One for
 * all tests of other people's clients, with the models of `examples/` and `models/` here.
 */
import { execFileSync } from "node:child_process";
import { cpSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { request } from "node:http";
import { createServer } from "node:https";
import type { Server } from "node:https";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { helloThrough } from "../../scripts/lib/hello.ts";
import { startStack } from "../../scripts/lib/stack.ts";

const EXAMPLES = ["hello-world", "stream-words"];
const root = join(import.meta.dirname, "../..");

export type ClientStack = {
  /** `https://127.0.0.1:…`, and the same without TLS. */
  url: string;
  plainUrl: string;
  apiKey: string;
  adminKey: string;
  kafka: { url: string; username: string; password: string };
  /** The certificate's file: whoever trusts it can call `url`. */
  certificate: string;
  /** Takes the pool away for good. */
  stopPool(): Promise<void>;
  stop(): Promise<void>;
};

/** Brings it up, with its models loaded once, so that their schemas are known. */
export async function startClientStack(): Promise<ClientStack> {
  const dir = mkdtempSync(join(tmpdir(), "edgeplane-clients-"));
  const certificate = makeCertificate(dir);
  const models = join(dir, "models");
  for (const name of EXAMPLES) cpSync(join(root, "examples", name), join(models, name), { recursive: true });
  cpSync(join(import.meta.dirname, "models"), models, { recursive: true });

  let upstreamPort = 0;
  const front = createServer(
    { cert: readFileSync(certificate), key: readFileSync(join(dir, "key.pem")) },
    (from, to) => {
      const onward = request(
        { host: "127.0.0.1", port: upstreamPort, method: from.method, path: from.url, headers: from.headers },
        (answer) => {
          to.writeHead(answer.statusCode ?? 502, answer.headers);
          answer.pipe(to);
        },
      );
      onward.on("error", () => to.destroy());
      to.on("close", () => onward.destroy());
      from.pipe(onward);
    },
  );
  const url = await listen(front);
  const lines: string[] = [];
  const stack = await startStack({
    offline: true,
    stateDir: join(dir, "state"),
    allowLoopback: true,
    models,
    vars: { PUBLIC_ORIGIN: url, PUBLISH_TOPICS: "results,usage,jobs.dlq" },
    poolEnv: { NODE_EXTRA_CA_CERTS: certificate },
    say: (line) => lines.push(line),
  });
  upstreamPort = stack.port;
  const stop = async (): Promise<void> => {
    front.closeAllConnections();
    front.close();
    await stack.stop();
    rmSync(dir, { recursive: true, force: true });
  };
  try {
    await helloThrough(stack);
  } catch (error) {
    console.error(lines.slice(-40).join("\n"));
    await stop();
    throw error;
  }
  const { apiKey, adminKey, kafka, url: plainUrl } = stack;
  return { url, plainUrl, apiKey, adminKey, kafka, certificate, stopPool: () => stack.stopPool(), stop };
}

async function listen(server: Server): Promise<string> {
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return `https://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

function makeCertificate(dir: string): string {
  const certificate = join(dir, "cert.pem");
  const key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", join(dir, "key.pem")];
  const subject = ["-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1", "-days", "2"];
  execFileSync("openssl", ["req", "-x509", ...key, ...subject, "-out", certificate], { stdio: "pipe" });
  return certificate;
}
