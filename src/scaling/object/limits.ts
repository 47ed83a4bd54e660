/** Bounds of the scaler's memory. */

/** Versions that one lane tells of, and that the scaler remembers. */
export const OVERALL_MAX_VERSIONS = 500;
