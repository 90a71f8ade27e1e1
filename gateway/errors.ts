/**
 * The three kinds of failure, never mixed: a peer's fault (`PeerError`), an operator's (`ConfigError`),
 * and ours (`node:assert`, and the process stops).
 */

/** Stable codes, public text: add, never rename. */
export type PeerFault =
  // framing: octets on the line
  | 'FRAME_UNKNOWN'
  | 'FRAME_TRUNCATED'
  | 'FRAME_CHECKSUM'
  | 'FRAME_LENGTH'
  | 'FRAME_FORMAT'
  | 'FRAME_SEQUENCE'
  // APDU and A-XDR data
  | 'APDU_TRUNCATED'
  | 'APDU_LENGTH'
  | 'APDU_TRAILING'
  | 'APDU_UNKNOWN'
  | 'APDU_UNSUPPORTED'
  | 'APDU_CHOICE'
  | 'DATA_TYPE'
  | 'DATA_DEPTH'
  | 'DATA_COUNT'
  | 'DATA_VALUE'
  // protection
  | 'SECURITY_CONTROL'
  | 'SECURITY_SUITE'
  | 'SECURITY_COMPRESSED'
  | 'SECURITY_DOWNGRADE'
  | 'SECURITY_SERVICE'
  | 'SYSTEM_TITLE'
  | 'SYSTEM_TITLE_FOREIGN'
  | 'KEY_MISSING'
  | 'KEY_AGREEMENT'
  | 'KEY_WRAP'
  | 'SIGNATURE_INVALID'
  | 'TAG_UNAUTHENTIC'
  | 'COUNTER_REPLAYED'
  // meaning
  | 'PUSH_FORM'
  | 'PUSH_TIME'
  | 'PUSH_VALUE'
  | 'METER_UNKNOWN'
  // ours: an exception where a fault was due; the octets are kept and the log has it as an error
  | 'UNHANDLED'
  // envelope from a concentrator
  | 'UPLINK_MALFORMED'
  | 'UPLINK_LIMIT'
  | 'UPLINK_IDENTITY'
  | 'UPLINK_UNSUPPORTED'
  // command to a meter
  | 'COMMAND_UNKNOWN'
  | 'DOWNLINK_MALFORMED'
  // session
  | 'CERTIFICATE_MISSING'
  | 'CERTIFICATE_UNTRUSTED'
  | 'CERTIFICATE_EXPIRED'
  | 'CERTIFICATE_REVOKED'
  | 'CERTIFICATE_ROLE'
  | 'REVOCATION_UNKNOWN'
  | 'TLS_FAILED'
  | 'SESSION_LIMIT'
  | 'HANDSHAKE_LIMIT'
  | 'CONNECT_LATE'
  | 'PACKET_LENGTH'
  | 'PACKET_MALFORMED'
  | 'WILL_REFUSED'
  | 'TOPIC_FOREIGN'
  | 'QOS_REFUSED'
  | 'RETAIN_REFUSED'
  // association with a meter
  | 'ASSOCIATION_REFUSED'
  | 'ASSOCIATION_SEQUENCE'
  | 'ASSOCIATION_TIMEOUT'
  | 'AUTHENTICATION_FAILED'
  | 'AUTHENTICATION_LOCKED'
  | 'CHALLENGE_LENGTH'
  | 'CHALLENGE_REFLECTED'
  | 'AUTHENTICATION_LENGTH'
  | 'SERVICE_REFUSED'
  // one-way link and sealed batches
  | 'DATAGRAM_LENGTH'
  | 'DATAGRAM_KEY'
  | 'DATAGRAM_UNAUTHENTIC'
  | 'DATAGRAM_MALFORMED'
  | 'DATAGRAM_LIMIT'
  | 'SYMBOL_CONTRADICTS'
  // an operator's code for what the MDM lacks
  | 'REPLAY_CODE'
  | 'BATCH_MALFORMED'
  | 'BATCH_ROOT'
  | 'BATCH_CHAIN'
  | 'BATCH_SIGNATURE'
  | 'BATCH_CONTRADICTS'
  | 'PROOF_INVALID'
  // sealed batches that travel whole, in files and over TCP
  | 'BUNDLE_MALFORMED'
  | 'BUNDLE_TRUNCATED'
  | 'BUNDLE_TRAILING'
  | 'BUNDLE_LIMIT'
  | 'BUNDLE_KEY'
  | 'BUNDLE_UNAUTHENTIC'
  | 'BUNDLE_DIGEST'
  | 'BUNDLE_LATE'
  | 'BUNDLE_CONNECTIONS'
  | 'ENVELOPE_MALFORMED'
  | 'ENVELOPE_RECIPIENT'
  | 'ENVELOPE_UNAUTHENTIC'
  | 'FILE_NAME'
  | 'FILE_KIND'
  | 'FILE_SIZE'
  | 'FILE_UNREADABLE'
  // what the sender says of itself and of its stream
  | 'HEARTBEAT_MALFORMED'
  | 'HEARTBEAT_REPLAYED'
  | 'MANIFEST_MALFORMED'
  | 'MANIFEST_SIGNATURE'
  | 'MANIFEST_REPLAYED'
  | 'MANIFEST_CONTRADICTS'
  | 'EPOCH_UNACCEPTED'

/**
 * What the receiver of a fault does. `quarantine`: keep the octets and the code, go on with their neighbours.
 * `close`: end the session. `drop`: count it, keep nothing (a datagram has no sender to tell).
 */
export type Answer = 'quarantine' | 'close' | 'drop'

/** A fault without an answer does not compile. */
export const answerTo: Record<PeerFault, Answer> = {
  FRAME_UNKNOWN: 'quarantine',
  FRAME_TRUNCATED: 'quarantine',
  FRAME_CHECKSUM: 'quarantine',
  FRAME_LENGTH: 'quarantine',
  FRAME_FORMAT: 'quarantine',
  FRAME_SEQUENCE: 'quarantine',
  APDU_TRUNCATED: 'quarantine',
  APDU_LENGTH: 'quarantine',
  APDU_TRAILING: 'quarantine',
  APDU_UNKNOWN: 'quarantine',
  APDU_UNSUPPORTED: 'quarantine',
  APDU_CHOICE: 'quarantine', // an alternative or a field that this APDU does not have
  DATA_TYPE: 'quarantine',
  DATA_DEPTH: 'quarantine',
  DATA_COUNT: 'quarantine',
  DATA_VALUE: 'quarantine',
  SECURITY_CONTROL: 'quarantine',
  SECURITY_SUITE: 'quarantine',
  SECURITY_COMPRESSED: 'quarantine',
  SECURITY_DOWNGRADE: 'quarantine',
  SECURITY_SERVICE: 'quarantine',
  SYSTEM_TITLE: 'quarantine',
  SYSTEM_TITLE_FOREIGN: 'quarantine',
  KEY_MISSING: 'quarantine',
  KEY_AGREEMENT: 'quarantine',
  KEY_WRAP: 'quarantine',
  SIGNATURE_INVALID: 'quarantine',
  TAG_UNAUTHENTIC: 'quarantine', // one meter must not silence its concentrator
  COUNTER_REPLAYED: 'quarantine',
  PUSH_FORM: 'quarantine',
  PUSH_TIME: 'quarantine',
  PUSH_VALUE: 'quarantine',
  METER_UNKNOWN: 'quarantine',
  UNHANDLED: 'quarantine', // one frame must not stop everyone's
  UPLINK_MALFORMED: 'quarantine', // already acknowledged, so it must be kept
  UPLINK_LIMIT: 'quarantine',
  UPLINK_IDENTITY: 'quarantine',
  UPLINK_UNSUPPORTED: 'quarantine',
  COMMAND_UNKNOWN: 'quarantine', // a result that nobody waits for: late, repeated, or of another concentrator's command
  DOWNLINK_MALFORMED: 'drop', // at a concentrator: without an id there is nobody to tell
  CERTIFICATE_MISSING: 'close',
  CERTIFICATE_UNTRUSTED: 'close',
  CERTIFICATE_EXPIRED: 'close',
  CERTIFICATE_REVOKED: 'close',
  CERTIFICATE_ROLE: 'close',
  REVOCATION_UNKNOWN: 'close',
  TLS_FAILED: 'close',
  SESSION_LIMIT: 'close',
  HANDSHAKE_LIMIT: 'close',
  CONNECT_LATE: 'close',
  PACKET_LENGTH: 'close',
  PACKET_MALFORMED: 'close',
  WILL_REFUSED: 'close',
  TOPIC_FOREIGN: 'close',
  QOS_REFUSED: 'close',
  RETAIN_REFUSED: 'close',
  ASSOCIATION_REFUSED: 'close',
  ASSOCIATION_SEQUENCE: 'close', // an APDU that nobody waits for, in this state or ever
  ASSOCIATION_TIMEOUT: 'close',
  AUTHENTICATION_FAILED: 'close',
  AUTHENTICATION_LOCKED: 'close', // too many failed: nothing is compared until the hold ends
  CHALLENGE_LENGTH: 'close',
  CHALLENGE_REFLECTED: 'close', // whoever sends our challenge back wants us to answer it
  AUTHENTICATION_LENGTH: 'close', // an answer to a challenge that its mechanism cannot have made
  SERVICE_REFUSED: 'close', // an exception-response: the meter answered, but not to what was asked
  DATAGRAM_LENGTH: 'drop',
  DATAGRAM_KEY: 'drop',
  DATAGRAM_UNAUTHENTIC: 'drop',
  DATAGRAM_MALFORMED: 'drop',
  DATAGRAM_LIMIT: 'drop',
  SYMBOL_CONTRADICTS: 'drop',
  REPLAY_CODE: 'drop',
  BATCH_MALFORMED: 'quarantine',
  BATCH_ROOT: 'quarantine',
  BATCH_CHAIN: 'quarantine',
  BATCH_SIGNATURE: 'quarantine',
  BATCH_CONTRADICTS: 'quarantine', // the sealer has signed two batches of one number
  PROOF_INVALID: 'drop',
  // A connection ends; a file goes to the folder's quarantine.
  BUNDLE_MALFORMED: 'close',
  BUNDLE_TRUNCATED: 'close',
  BUNDLE_TRAILING: 'close',
  BUNDLE_LIMIT: 'close',
  BUNDLE_KEY: 'close',
  BUNDLE_UNAUTHENTIC: 'close',
  BUNDLE_DIGEST: 'close',
  BUNDLE_LATE: 'close',
  BUNDLE_CONNECTIONS: 'close',
  ENVELOPE_MALFORMED: 'quarantine',
  ENVELOPE_RECIPIENT: 'quarantine', // the key that opens it may yet be found
  ENVELOPE_UNAUTHENTIC: 'quarantine',
  FILE_NAME: 'quarantine',
  FILE_KIND: 'quarantine',
  FILE_SIZE: 'quarantine',
  FILE_UNREADABLE: 'quarantine',
  HEARTBEAT_MALFORMED: 'drop',
  HEARTBEAT_REPLAYED: 'drop',
  MANIFEST_MALFORMED: 'quarantine',
  MANIFEST_SIGNATURE: 'quarantine',
  MANIFEST_REPLAYED: 'drop',
  MANIFEST_CONTRADICTS: 'quarantine', // signed, and another history than the one that we hold
  EPOCH_UNACCEPTED: 'drop', // announced; the operator's word brings it, from the carousel
}

/** A fault of the other side: a code for programs, a message for people, an offset in octets where one is known. */
export class PeerError extends Error {
  override readonly name = 'PeerError'
  readonly code: PeerFault
  readonly offset: number | undefined

  constructor(code: PeerFault, message: string, options: { offset?: number; cause?: unknown } = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause })
    this.code = code
    this.offset = options.offset
  }
}

/** A fault of the operator's: everything wrong at once, so that one edit can mend it. Exit code 78 (EX_CONFIG). */
export class ConfigError extends Error {
  override readonly name = 'ConfigError'
  readonly faults: readonly string[]

  constructor(faults: readonly string[]) {
    super(faults.join('\n'))
    this.faults = faults
  }
}

export const exitConfig = 78
