/** The part of the table of errors (`errors.ts`) that is about plugins and their settings. */
export const pluginErrors = {
  guard_unavailable: {
    status: 503,
    title: "A guard could not decide",
    cause: "A plugin that guards this call failed or took too long, and such a plugin blocks.",
    remedy: "Try again in a moment; the operator finds the plugin's name in the log.",
  },
  changed_input_invalid: {
    status: 422,
    title: "A plugin made the input unfit for the model",
    cause:
      "A plugin changed the input to one that the model doesn't take, or chose a version that can't be run or doesn't take it. What the client sent did fit.",
    remedy: "The operator mends the plugin that `detail` names, or its settings; nothing was accepted.",
  },
  rejected_by_policy: {
    status: 403,
    title: "Rejected by policy",
    cause: "A plugin refused the request or its output.",
    remedy: "The operator's policy does not let this request through.",
  },
  plugins_unavailable: {
    status: 501,
    title: "Uploaded plugins can't run here",
    cause: "The deployment has no Worker Loader binding, which runs uploaded plugins; it needs a paid plan.",
    remedy: "Deploy with `npm run deploy -- --env plugins`, or use the built-in plugins.",
  },
  plugins_not_allowed: {
    status: 403,
    title: "Plugins of this pushed model are not allowed",
    cause: "The version has plugins of its own, and the operator doesn't let them run, or not like this.",
    remedy:
      "Ask the operator for what `detail` names (`pushed_plugins` of the settings), or push the folder without `plugins/`.",
  },
  plugin_missing: {
    status: 422,
    title: "A plugin is missing",
    cause: "A plugin requires another one that is not on.",
    remedy: "Turn the plugin on that `detail` names, or turn off the one that requires it.",
  },
  plugin_cycle: {
    status: 422,
    title: "Plugins wait for each other",
    cause: "By `after` and `requires`, each would have to come first.",
    remedy: "Take one of the `after` or `requires` away that `detail` names.",
  },
  plugin_duplicate: {
    status: 422,
    title: "Two plugins have one name",
    cause: "The name of a plugin is taken.",
    remedy: "Rename one of them.",
  },
  guard_model_unfit: {
    status: 422,
    title: "A model can't be a guard",
    cause: "`model-guard` needs a model that exists, with a lane of its own and a process that always stands by.",
    remedy: "Set what `detail` names in the model's `cog.yaml`, or name another model; then publish again.",
  },
  guard_cycle: {
    status: 422,
    title: "Guards would guard themselves",
    cause: "The settings have a model guard its own predictions, by itself or through other guards.",
    remedy: "Take one of the entries of `models` away that `detail` names, or set it to null.",
  },
  plugin_invalid: {
    status: 422,
    title: "A plugin does not fit",
    cause: "The settings of a plugin, or what it declares, don't hold.",
    remedy: "Mend the settings or the declaration that `detail` names.",
  },
} as const satisfies Record<string, { status: number; title: string; cause: string; remedy: string }>;
