/** What keeps a model's process from the pool's secrets and from other models. */

export const isolationSettings = ["auto", "required", "namespaces", "user", "off"] as const;
export type IsolationSetting = (typeof isolationSettings)[number];

/**
 * `namespaces`: a view of the file system and a list of processes of its own. `user`: a user of its own. `none`: it
 * runs as the pool's user, and sees what that sees.
 */
export type IsolationKind = "namespaces" | "user" | "none";

/** `why`: what keeps this host from isolating, in words; null where it does. */
export type IsolationState = { kind: IsolationKind; why: string | null };

/** What a process of a model needs to reach. All paths are absolute. */
export type JailRequest = {
  /** `owner/name`. */
  model: string;
  modelDir: string;
  /** Where pools keep notes on that folder: it may not write there. */
  notesDir: string;
  /** Files in its folder that it may not change: other folders have them, too. */
  fixed: readonly string[];
  /** Kept for the model from one process to the next: its `HOME`. */
  homeDir: string;
  /** Of this process alone. */
  scratchDir: string;
  /** What it needs beside these: its interpreter, its environment, the child's own code. */
  readable: readonly string[];
  /** What it may read, where that is there: folders of libraries, and of the operator's data. */
  mayRead: readonly string[];
  /** False: it reaches no network. */
  network: boolean;
};

/** Who owns the files that a process is given; null: the pool's own user. */
export type FileOwner = { uid: number; gid: number } | null;

/** How a process is started: `command` comes before the interpreter. */
export type Jail = {
  command: readonly string[];
  env: Record<string, string>;
  owner: FileOwner;
  /** Its folder for temporary files, below the scratch folder. */
  tempDir: string;
};

export type Isolation = IsolationState & {
  /**
   * Tells `warn` what the model can't do that it could otherwise. Throws `IsolationProblem` where this model can't be
   * isolated here.
   */
  jail(request: JailRequest, warn: (warning: string) => void): Promise<Jail>;
};

/** A model can't be isolated; the message says why, and what to do. */
export class IsolationProblem extends Error {
  override readonly name = "IsolationProblem";
}
