/** What the gate of a plugin is told: the hosts that the operator granted. */
export const GATE_ENTRYPOINT = "PluginGate";
export type GateProps = { hosts: string[] };
