/** A broker's `server.properties`, and the ports that follow from a cluster's first port. */

export type ClusterOptions = {
  dir: string;
  /** The first of the cluster's ports; see `portsOf`. */
  port: number;
  brokers: 1 | 3;
  /** Adds a listener with SASL/PLAIN and access control: `admin` may do anything, `guest` nothing. */
  sasl: boolean;
  /** Adds a listener with TLS and a self-signed certificate, written to `<dir>/ca.pem`. */
  tls: boolean;
};

export type BrokerPorts = { plain: number; controller: number; sasl: number; tls: number };

/** The password of the SASL users `admin` and `guest`. */
export const SASL_PASSWORDS = { admin: "admin-secret", guest: "guest-secret" } as const;
export const KEYSTORE_PASSWORD = "local-only";

/** Broker `id` (from 1) listens on `port + id - 1`; its controller 10, SASL 20, TLS 30 above. */
export function portsOf(port: number, id: number): BrokerPorts {
  const plain = port + id - 1;
  return { plain, controller: plain + 10, sasl: plain + 20, tls: plain + 30 };
}

/** `host:port` of all brokers on their plain listener. */
export function bootstrapServers(options: ClusterOptions): string[] {
  return Array.from({ length: options.brokers }, (_, index) => `127.0.0.1:${portsOf(options.port, index + 1).plain}`);
}

/** The properties of broker `id`, which is broker and controller in one. */
export function brokerProperties(options: ClusterOptions, id: number, logDir: string): string {
  const ports = portsOf(options.port, id);
  const voters = Array.from(
    { length: options.brokers },
    (_, index) => `${index + 1}@127.0.0.1:${portsOf(options.port, index + 1).controller}`,
  );
  const replicas = options.brokers;
  const clientListeners = [`PLAINTEXT://127.0.0.1:${ports.plain}`];
  if (options.sasl) clientListeners.push(`SASL_PLAINTEXT://127.0.0.1:${ports.sasl}`);
  if (options.tls) clientListeners.push(`SSL://localhost:${ports.tls}`);
  const lines = [
    "process.roles=broker,controller",
    `node.id=${id}`,
    `controller.quorum.voters=${voters.join(",")}`,
    `listeners=${[...clientListeners, `CONTROLLER://127.0.0.1:${ports.controller}`].join(",")}`,
    `advertised.listeners=${clientListeners.join(",")}`,
    "listener.security.protocol.map=PLAINTEXT:PLAINTEXT,SASL_PLAINTEXT:SASL_PLAINTEXT,SSL:SSL,CONTROLLER:PLAINTEXT",
    "controller.listener.names=CONTROLLER",
    "inter.broker.listener.name=PLAINTEXT",
    `log.dirs=${logDir}`,
    `default.replication.factor=${replicas}`,
    `min.insync.replicas=${replicas === 3 ? 2 : 1}`,
    `offsets.topic.replication.factor=${replicas}`,
    "offsets.topic.num.partitions=5",
    `transaction.state.log.replication.factor=${replicas}`,
    `transaction.state.log.min.isr=${replicas === 3 ? 2 : 1}`,
    "transaction.state.log.num.partitions=5",
    "group.initial.rebalance.delay.ms=0",
    "group.consumer.min.heartbeat.interval.ms=500",
    "group.consumer.heartbeat.interval.ms=1000",
    "auto.create.topics.enable=false",
    "num.network.threads=2",
    "num.io.threads=4",
    "log.cleaner.dedupe.buffer.size=16777216",
  ];
  if (options.sasl) lines.push(...saslLines());
  if (options.tls) {
    lines.push(
      "ssl.keystore.type=PKCS12",
      `ssl.keystore.location=${options.dir}/keystore.p12`,
      `ssl.keystore.password=${KEYSTORE_PASSWORD}`,
      `ssl.key.password=${KEYSTORE_PASSWORD}`,
    );
  }
  return `${lines.join("\n")}\n`;
}

function saslLines(): string[] {
  const users = Object.entries(SASL_PASSWORDS).map(([name, password]) => `user_${name}="${password}"`);
  return [
    "sasl.enabled.mechanisms=PLAIN",
    "listener.name.sasl_plaintext.plain.sasl.jaas.config=" +
      `org.apache.kafka.common.security.plain.PlainLoginModule required ${users.join(" ")};`,
    "authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer",
    "super.users=User:ANONYMOUS;User:admin",
  ];
}
