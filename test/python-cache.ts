/**
 * What Python compiles is kept from one process of the tests to the next, outside the folders of the models: half of a
 * start is that.
 */
import { fileURLToPath } from "node:url";

export const pythonCache = {
  PYTHONDONTWRITEBYTECODE: "",
  PYTHONPYCACHEPREFIX: fileURLToPath(new URL("../node_modules/.cache/edgeplane/python", import.meta.url)),
};
