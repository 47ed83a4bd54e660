/** `npm run pool`: the GPU pool of this host; `npm run pool -- --help` lists its settings. */
import "../gpu-pool/main.ts";
