/** `npm run provider`: rents and returns machines for a gateway; `npm run provider -- --help` lists its settings. */
import "../provider/main.ts";
