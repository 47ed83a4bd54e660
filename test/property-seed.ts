/**
 * The seed of every test that draws its cases: the same commit is tested with the same cases on every machine, and
 * `PROPERTY_SEED` (an integer) draws others.
 */
const DEFAULT_SEED = 20_261_129;
export const PROPERTY_SEED = Number(process.env["PROPERTY_SEED"] ?? DEFAULT_SEED);
if (!Number.isInteger(PROPERTY_SEED)) throw new Error("PROPERTY_SEED must be an integer, such as 7");
