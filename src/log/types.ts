/**
 * The producer port: the one thing that the edge needs of a log. Its drivers are the embedded log and the Upstash
 * dialect.
 */

export type LogRecord = {
  topic: string;
  key?: string;
  value: string;
  headers?: { key: string; value: string }[];
};

export type ProducedRecord = { topic: string; partition: number; offset: number; timestamp: number };

export type LogProducer = {
  /**
   * Appends all records or throws. Throws `EdgeplaneError` with `invalid_request` or `payload_too_large` when the log
   * refuses a record for good (the caller halves the batch to find it), anything else when trying again may help.
   */
  produce(records: LogRecord[]): Promise<ProducedRecord[]>;
};
