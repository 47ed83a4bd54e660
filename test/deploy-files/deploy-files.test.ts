/**
 * What deploy/ holds for places that can't be run here (Docker, Kubernetes, a machine with systemd): each file is
 * looked at by the checker of its kind, and each checker is shown a fault that it must find.
 */
import { execFile } from "node:child_process";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterAll, expect, test } from "vitest";
import * as z from "zod";
import { helpText } from "../../gpu-pool/settings.ts";
import { HardwareSchema, WantedMachinesSchema } from "../../src/contract/provider.ts";

const root = join(import.meta.dirname, "../..");
const dir = mkdtempSync(join(tmpdir(), "edgeplane-deploy-files-"));
afterAll(() => rmSync(dir, { recursive: true, force: true }));

const FailedSchema = z.object({ code: z.union([z.number(), z.string()]), stdout: z.string(), stderr: z.string() });
type Ran = { code: number | string; said: string };
const GOOD: Ran = { code: 0, said: "" };

async function run(program: string, args: readonly string[], env: Record<string, string> = {}): Promise<Ran> {
  try {
    const options = { cwd: root, env: { ...process.env, ...env }, timeout: 60_000 };
    const { stdout, stderr } = await promisify(execFile)(program, args, options);
    return { code: 0, said: stdout + stderr };
  } catch (error) {
    const { code, stdout, stderr } = FailedSchema.parse(error);
    return { code, said: stdout + stderr };
  }
}

function written(name: string, text: string): string {
  writeFileSync(join(dir, name), text);
  return join(dir, name);
}

const read = (path: string): string => readFileSync(join(root, path), "utf8");

const hadolint = async (file: string): Promise<Ran> => run("hadolint", ["--no-color", file]);

const dockerfiles = ["edge", "pool", "provider"].map((name) => `deploy/docker/${name}.Dockerfile`);
test.each(dockerfiles)("hadolint: %s", async (file) => {
  expect(await hadolint(file)).toEqual(GOOD);
  // What it copies is there, and not kept from Docker.
  const sources = [...read(file).matchAll(/^COPY (?:--\S+ )*(\S+) \S+$/gm)].map(([, source]) => source ?? "");
  const kept = read(`${file}.dockerignore`).split("\n");
  for (const source of sources) {
    expect(existsSync(join(root, source)), source).toBe(true);
    if (kept.includes("*")) expect(kept).toContain(`!${source}`);
  }
});

test("hadolint finds a fault", async () => {
  const { code, said } = await hadolint(written("Dockerfile", "FROM debian\nRUN cd /x && apt-get install curl\n"));
  expect(code).toBe(1);
  expect(said).toContain("DL3006");
});

test("shellcheck: every shell script", async () => {
  const { stdout } = await promisify(execFile)("git", ["ls-files", "-co", "--exclude-standard"], { cwd: root });
  const scripts = stdout
    .trim()
    .split("\n")
    .filter((file) => !/\.(?:ts|md|json|gz|bin)$/.test(file) && isShell(file));
  expect(scripts).toEqual(expect.arrayContaining([".ci/run", "deploy/pool/install.sh", "deploy/pool/edgeplane-pool"]));
  expect(await run("shellcheck", ["--color=never", ...scripts])).toEqual(GOOD);
  const { code, said } = await run("shellcheck", ["--color=never", written("x.sh", "#!/bin/sh\nrm -rf $1/*\n")]);
  expect(code).toBe(1);
  expect(said).toContain("SC2086");
});

function isShell(file: string): boolean {
  try {
    return /^#!\/(?:usr\/)?bin\/(?:env )?(?:ba)?sh\b/.test(read(file));
  } catch {
    return false;
  }
}

/** The oldest and the newest that the validator has schemas of, near enough. */
const KUBERNETES = ["1.29", "1.37"];

test.each(KUBERNETES)("Kubernetes %s takes the manifest, and no field that it doesn't know", async (version) => {
  const validate = async (file: string): Promise<Ran> => run("kubernetes-validate", ["--strict", "-k", version, file]);
  const manifest = "deploy/kubernetes/pool.yaml";
  expect(await validate(manifest)).toMatchObject({ code: 0 });
  const wrong = read(manifest).replace("terminationGracePeriodSeconds", "terminationGraceSeconds");
  const { code, said } = await validate(written("wrong.yaml", wrong));
  expect(code).not.toBe(0);
  expect(said).toContain("terminationGraceSeconds");
});

const LabelsSchema = z.record(z.string(), z.string());
const StatefulSetSchema = z.looseObject({
  kind: z.literal("StatefulSet"),
  spec: z.looseObject({
    serviceName: z.string(),
    selector: z.looseObject({ matchLabels: LabelsSchema }),
    template: z.looseObject({
      metadata: z.looseObject({ labels: LabelsSchema }),
      spec: z.looseObject({
        terminationGracePeriodSeconds: z.number(),
        securityContext: z.looseObject({ runAsUser: z.number(), fsGroup: z.number() }),
        volumes: z.array(z.looseObject({ name: z.string() })),
        containers: z.tuple([
          z.looseObject({
            env: z.array(z.looseObject({ name: z.string() })),
            ports: z.array(z.looseObject({ name: z.string(), containerPort: z.number() })),
            resources: z.looseObject({ limits: LabelsSchema }),
            volumeMounts: z.array(z.looseObject({ name: z.string(), mountPath: z.string() })),
          }),
        ]),
      }),
    }),
    volumeClaimTemplates: z.array(z.looseObject({ metadata: z.looseObject({ name: z.string() }) })),
  }),
});
const ServiceSchema = z.looseObject({
  kind: z.literal("Service"),
  metadata: z.looseObject({ name: z.string() }),
  spec: z.looseObject({ selector: LabelsSchema }),
});

test("the manifest holds together: labels, volumes, the image's user and folder, settings, time to drain", async () => {
  // The validator's own reader.
  const load = "import json, sys, yaml; json.dump(list(yaml.safe_load_all(open(sys.argv[1]))), sys.stdout)";
  const { said } = await run("python3", ["-c", load, "deploy/kubernetes/pool.yaml"]);
  const documents = z.array(z.unknown()).parse(JSON.parse(said));
  const service = ServiceSchema.parse(documents[0]);
  const { spec } = StatefulSetSchema.parse(documents[1]);
  const { labels } = spec.template.metadata;
  expect(spec.serviceName).toBe(service.metadata.name);
  expect(labels).toMatchObject(spec.selector.matchLabels);
  expect(labels).toMatchObject(service.spec.selector);
  const pod = spec.template.spec;
  const [container] = pod.containers;
  const volumes = [
    ...pod.volumes.map(({ name }) => name),
    ...spec.volumeClaimTemplates.map(({ metadata }) => metadata.name),
  ];
  expect(container.volumeMounts.map(({ name }) => name).toSorted()).toEqual(volumes.toSorted());
  expect(container.resources.limits["nvidia.com/gpu"]).toBe("1");
  const dockerfile = read("deploy/docker/pool.Dockerfile");
  expect(dockerfile).toContain(`USER ${pod.securityContext.runAsUser}:${pod.securityContext.fsGroup}\n`);
  expect(container.volumeMounts.map(({ mountPath }) => mountPath)).toContain(
    /EDGEPLANE_POOL_DIR=(\S+)/.exec(dockerfile)?.[1],
  );
  // A drain waits 60 s for what runs, and then hands back.
  expect(pod.terminationGracePeriodSeconds).toBeGreaterThan(60);
  const settings = new Set([
    ...(helpText().match(/EDGEPLANE_[A-Z_]+/g) ?? []),
    "EDGEPLANE_POOL_DIR",
    "EDGEPLANE_START",
  ]);
  const named = [...container.env.map(({ name }) => name), ...(dockerfile.match(/EDGEPLANE_[A-Z_]+(?==)/g) ?? [])];
  expect(named.filter((name) => !settings.has(name))).toEqual([]);
  // What the pool's command doesn't put there by itself lies on the volume, too.
  const caches = [...settings].filter((name) => name.endsWith("_DIR") && !/_(?:POOL|STATE)_/.test(name));
  expect(caches).toContain("EDGEPLANE_BUNDLES_DIR");
  for (const name of caches) expect(dockerfile).toContain(`${name}=/pool/`);
});

/** The fields of https://keda.sh/docs/latest/reference/scaledobject-spec/ that are used here, and no other. */
const TriggerAuthenticationSchema = z.strictObject({
  apiVersion: z.literal("keda.sh/v1alpha1"),
  kind: z.literal("TriggerAuthentication"),
  metadata: z.strictObject({ name: z.string() }),
  spec: z.strictObject({
    secretTargetRef: z.tuple([z.strictObject({ parameter: z.literal("token"), name: z.string(), key: z.string() })]),
  }),
});
const ScaledObjectSchema = z.strictObject({
  apiVersion: z.literal("keda.sh/v1alpha1"),
  kind: z.literal("ScaledObject"),
  metadata: z.strictObject({ name: z.string() }),
  spec: z.strictObject({
    scaleTargetRef: z.strictObject({ kind: z.literal("StatefulSet"), name: z.string() }),
    pollingInterval: z.int().positive(),
    cooldownPeriod: z.int().min(0),
    minReplicaCount: z.literal(0),
    maxReplicaCount: z.int().positive(),
    advanced: z.strictObject({
      horizontalPodAutoscalerConfig: z.strictObject({
        behavior: z.strictObject({ scaleDown: z.strictObject({ stabilizationWindowSeconds: z.int().min(0) }) }),
      }),
    }),
    triggers: z.tuple([
      z.strictObject({
        type: z.literal("metrics-api"),
        metricType: z.literal("AverageValue"),
        // https://keda.sh/docs/latest/scalers/metrics-api/
        metadata: z.strictObject({
          url: z.url(),
          valueLocation: z.string(),
          targetValue: z.literal("1"),
          activationTargetValue: z.literal("0"),
          authMode: z.literal("bearer"),
        }),
        authenticationRef: z.strictObject({ name: z.string() }),
      }),
    ]),
  }),
});

test("KEDA's objects hold together, scale the pools' set, and ask for what the edge answers", async () => {
  const load =
    "import json, sys, yaml; json.dump([list(yaml.safe_load_all(open(f))) for f in sys.argv[1:]], sys.stdout)";
  const { said } = await run("python3", ["-c", load, "deploy/kubernetes/keda.yaml", "deploy/kubernetes/pool.yaml"]);
  const [keda = [], pool = []] = z.array(z.array(z.unknown())).parse(JSON.parse(said));
  const authentication = TriggerAuthenticationSchema.parse(keda[0]);
  const { spec } = ScaledObjectSchema.parse(keda[1]);
  const set = z.looseObject({ kind: z.string(), metadata: z.looseObject({ name: z.string() }) }).parse(pool[1]);
  expect(spec.scaleTargetRef).toEqual({ kind: set.kind, name: set.metadata.name });
  const [{ metadata, authenticationRef }] = spec.triggers;
  expect(authenticationRef.name).toBe(authentication.metadata.name);
  const [route, hardware = ""] = new URL(metadata.url).pathname.split(/\/(?=[^/]*$)/);
  expect(route).toBe("/admin/v1/scaling/metrics");
  expect(HardwareSchema.safeParse(hardware).success).toBe(true);
  expect(Object.keys(WantedMachinesSchema.shape)).toContain(metadata.valueLocation);
});

test("Caddy takes the Caddyfile", async () => {
  const validate = async (file: string): Promise<Ran> =>
    run("caddy", ["validate", "--adapter", "caddyfile", "--config", file], { HOME: dir, XDG_DATA_HOME: dir });
  const good = await validate("deploy/caddy/Caddyfile");
  expect(good).toMatchObject({ code: 0 });
  expect(good.said).toContain("Valid configuration");
  const wrong = read("deploy/caddy/Caddyfile").replace("flush_interval", "flush_intervall");
  expect(await validate(written("Caddyfile", wrong))).toMatchObject({ code: 1 });
});

/** With programs that are on every machine: whether they are here is not the question. */
async function verifyUnit(name: string, text: string): Promise<Ran> {
  const here = text.replace(/^ExecStart=("[^"]*"|\S+)/m, "ExecStart=/bin/sh");
  return run("systemd-analyze", ["verify", "--man=no", "--recursive-errors=no", written(name, here)]);
}

test("systemd takes the units: the edge's, the provider service's, and the one that `edgeplane-pool service` writes", async () => {
  expect(await verifyUnit("edgeplane.service", read("deploy/systemd/edgeplane.service"))).toEqual(GOOD);
  const provider = "edgeplane-provider.service";
  expect(await verifyUnit(provider, read(`deploy/systemd/${provider}`))).toEqual(GOOD);
  const { code, said: unit } = await run("sh", ["deploy/pool/edgeplane-pool", "unit"]);
  expect(code).toBe(0);
  expect(await verifyUnit("edgeplane-pool.service", unit)).toEqual(GOOD);
  expect(unit).toContain(`ExecStart="${join(root, "deploy/pool/edgeplane-pool")}" run\n`);
  const wrong = await verifyUnit("wrong.service", unit.replace("KillMode=mixed", "KillMode=some"));
  expect(wrong.said).toContain("kill mode");
});

test("the pool's image begins by the edge's installer, and says what is missing", async () => {
  const entrypoint = join(root, "deploy/docker/pool-entrypoint.sh");
  const server = createServer(({ url }, reply) => {
    if (url === "/pool/install.sh") reply.end('#!/bin/sh\necho "installs: $EDGEPLANE_URL $0"\n');
    else reply.writeHead(404).end();
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const address = server.address();
  const url = `http://127.0.0.1:${typeof address === "object" ? (address?.port ?? 0) : 0}`;
  expect((await run(entrypoint, [], { EDGEPLANE_URL: `${url}/` })).said).toBe(`installs: ${url}/ sh\n`);
  expect(await run(entrypoint, [], { EDGEPLANE_URL: `${url}/elsewhere` })).toMatchObject({ code: 1 });
  expect(await run(entrypoint, [], { EDGEPLANE_URL: "" })).toMatchObject({ code: 2 });
  server.close();
});

test("every folder of deploy/ is looked at", () => {
  // test/integration/provider runs what lies in deploy/provider.
  const folders = ["caddy", "docker", "kubernetes", "pool", "provider", "systemd"];
  expect(readdirSync(join(root, "deploy")).toSorted()).toEqual(folders);
});
