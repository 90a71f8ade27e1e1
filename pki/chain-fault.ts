/** Why a chain is refused. Stable, public text: add, never rename. */
export type ChainFault =
  | 'CERTIFICATE_MALFORMED'
  | 'VERSION'
  | 'ALGORITHM_UNSUPPORTED'
  | 'EXTENSION_DUPLICATE'
  | 'EXTENSION_UNKNOWN'
  | 'CHAIN_LENGTH'
  | 'ISSUER_UNKNOWN'
  | 'KEY_ID'
  | 'SIGNATURE'
  | 'EXPIRED'
  | 'NOT_YET_VALID'
  | 'NOT_A_CA'
  | 'PATH_LENGTH'
  | 'KEY_USAGE'
  | 'EXTENDED_KEY_USAGE'
  | 'IDENTITY'
  | 'POLICY'
  | 'NAME_CONSTRAINTS'
  | 'CRL_MISSING'
  | 'CRL_STALE'
  | 'CRL_NOT_YET_VALID'
  | 'CRL_SIGNATURE'
  | 'CRL_KEY_ID'
  | 'CRL_UNSUPPORTED'
  | 'CRL_SCOPE'
  | 'REVOKED'
  | 'CA_REVOKED'
  | 'SERIAL'
  | 'NAME_EMPTY'

export interface Refused {
  ok: false
  code: ChainFault
  detail: string
}

export function refused(code: ChainFault, detail: string): Refused {
  return { ok: false, code, detail }
}
