/**
 * The limits that belong to the program; the README lists them. Those of the conduit, connections and requests of all
 * clients together, are the zones file's.
 */
export const limits = {
  /** one answer of demand, days */
  spanDaysMax: 31,
  /** one answer of demand: 31 days of one-minute cells fit */
  cellsMax: 50_000,
  /** one list of closed days, newest first: ten years */
  daysMax: 3_660,
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
  /** requests at once from one address: three or four views of the page */
  burst: 80,
  /** requests a second from one address, sustained */
  ratePerSecond: 20,
  /** addresses remembered for the rate; beyond, the oldest is forgotten */
  addressesMax: 4_096,
  /** wait for a lock of the writer's */
  busyMilliseconds: 200,
} as const
