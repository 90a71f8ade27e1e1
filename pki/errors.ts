/** Stable codes, public text: add, never rename. */
export type PkiFault =
  // octets that are not what they claim
  | 'DER_MALFORMED'
  | 'PEM_MALFORMED'
  | 'CERTIFICATE_MALFORMED'
  | 'CRL_MALFORMED'
  | 'CMS_MALFORMED'
  | 'REQUEST_MALFORMED'
  // envelopes
  | 'ENVELOPE_MALFORMED'
  | 'ENVELOPE_RECIPIENT'
  | 'ENVELOPE_UNAUTHENTIC'
  // requests the CA refuses
  | 'REQUEST_POSSESSION'
  | 'REQUEST_KEY'
  | 'REQUEST_ID'
  | 'REQUEST_NAMES'
  | 'REQUEST_VALIDITY'
  | 'REQUEST_PROFILE'
  | 'KEY_REUSED'
  | 'KEY_REVOKED'
  | 'LINT'
  | 'SERIAL_UNKNOWN'
  // manufacturers
  | 'MANUFACTURER_UNFIT'
  // enrolment
  | 'EST_BODY'
  | 'EST_REFUSED'
  | 'EST_UNREACHABLE'
  | 'MANIFEST_INVALID'
  | 'MANIFEST_CONFLICT'
  | 'MANIFEST_MANUFACTURER'
  | 'INVENTORY_STATE'
  // the store
  | 'STORE_EXISTS'
  | 'STORE_MISSING'
  | 'STORE_KEY'
  | 'STORE_PASSPHRASE'
  | 'STORE_CONFIG'
  | 'STORE_BUSY'
  | 'ROOT_OFFLINE'
  | 'KEYSTORE_MISSING'
  | 'KEYSTORE_PIN'
  | 'KEYSTORE_KEY'
  | 'KEYSTORE_EXISTS'
  | 'KEYSTORE_ALGORITHM'
  | 'KEYSTORE_BUSY'
  | 'KEYSTORE_FAILED'
  | 'JOURNAL_CORRUPT'
  | 'PKI_BUSY'
  // the audit log
  | 'AUDIT_ENTRY'
  | 'AUDIT_CHECKPOINT'
  | 'AUDIT_PROOF'
  | 'AUDIT_CORRUPT'
  | 'AUDIT_BUSY'
  | 'AUDIT_FULL'
  // the ceremony
  | 'CEREMONY_APPROVAL_MISSING'
  | 'CEREMONY_SAME_PERSON'
  | 'CEREMONY_SAME_KEY'
  | 'CEREMONY_APPROVAL_DIGEST'
  | 'CEREMONY_WINDOW'
  | 'CEREMONY_APPROVER'
  | 'CEREMONY_RUNNING'
  // backup
  | 'BACKUP_FORM'
  | 'BACKUP_PASSPHRASE'
  | 'BACKUP_CHANGED'
  | 'BACKUP_OLDER'
  | 'BACKUP_LIMIT'
  // rotation
  | 'ROTATION_LIMIT'
  // OCSP
  | 'OCSP_MALFORMED'
  | 'OCSP_EXTENSION'
  | 'OCSP_LIMIT'
  | 'OCSP_RESPONDER'
  | 'OCSP_UNREACHABLE'
  // CRL shards
  | 'CRL_SHARD'
  | 'SHARD_FULL'
  // the revocation feed
  | 'FEED_MALFORMED'
  | 'FEED_LISTENERS'

/** What the PKI refuses, and why: a code for programs, a message for people. */
export class PkiError extends Error {
  override readonly name = 'PkiError'
  readonly code: PkiFault

  constructor(code: PkiFault, message: string, options: { cause?: unknown } = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause })
    this.code = code
  }
}

/** Runs a parser and gives its DER faults the name of the structure being read; other errors pass. */
export function reading<T>(code: PkiFault, parse: () => T): T {
  try {
    return parse()
  } catch (cause) {
    if (cause instanceof PkiError && cause.code === 'DER_MALFORMED') throw new PkiError(code, cause.message, { cause })
    throw cause
  }
}
