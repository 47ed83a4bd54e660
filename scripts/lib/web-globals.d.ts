/** Names of the Web platform that Node has and @types/node declares as values only. */
type CryptoKey = import("node:crypto").webcrypto.CryptoKey;
