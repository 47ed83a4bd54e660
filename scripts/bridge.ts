/** `npm run bridge`: Kafka and Redis of your own over HTTP; `npm run bridge -- --help` lists its settings. */
import "../gpu-pool/bridge/main.ts";
