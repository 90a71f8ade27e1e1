/** Every limit of the studies service in one place; the README lists them. */
export const limits = {
  /** one answer of demand, days */
  spanDaysMax: 31,
  /** one answer of demand: 31 days of one-minute cells fit */
  cellsMax: 50_000,
  /** one list of closed days, newest first: ten years */
  daysMax: 3_660,
  /** open connections; the next one is closed at once */
  connectionsMax: 256,
  /** one connection, before it must be opened anew */
  requestsPerConnectionMax: 1_000,
  /** request line and header fields together */
  headerOctetsMax: 8_192,
  /** no route takes a body */
  bodyOctetsMax: 1_024,
  /** from the first octet of a request to its last, and for the TLS handshake */
  requestMilliseconds: 10_000,
  /** an idle connection */
  keepAliveMilliseconds: 15_000,
  /** requests at once from one address */
  burst: 240,
  /** requests a second from one address, sustained */
  ratePerSecond: 20,
  /** addresses remembered for the rate; beyond, the oldest is forgotten */
  addressesMax: 4_096,
  /** wait for a lock of the writer's */
  busyMilliseconds: 200,
} as const
