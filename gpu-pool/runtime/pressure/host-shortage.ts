/** This host has no room for a prediction that another may run. Not the prediction's fault, and not the model's. */
export class HostShortage extends Error {
  override readonly name = "HostShortage";
}
