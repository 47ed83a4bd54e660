/** Setup of test files in Node: fast-check draws from the one seed, unless a property names its own. */
import fc from "fast-check";
import { PROPERTY_SEED } from "./property-seed.ts";

fc.configureGlobal({ seed: PROPERTY_SEED });
