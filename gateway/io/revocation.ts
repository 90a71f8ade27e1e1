import type { X509Certificate } from 'node:crypto'
import { readFileSync, statSync } from 'node:fs'
import type { Logger } from 'pino'
import { type Certificate, type Crl, PkiError, parseCertificate, parseCrls } from '#pki/verify.ts'
import { ConfigError, PeerError } from '../errors.ts'

/**
 * Which certificates are revoked, from the PKI's CRL bundle. The file is looked at every second: a new one counts from
 * then on, for live sessions too. One that cannot be read, or lacks a CA's list that was there, changes nothing and is an
 * error in the log; one whose time has run out admits nobody, since a silence of the PKI must not look like a clean record.
 *
 * Node's own `crl` option is not used: it costs each handshake time in proportion to the list, and live sessions nothing.
 */
export interface Revocation {
  /** @returns why this certificate may not, or may no longer, speak; the CA above it is to be asked about too */
  fault(certificate: X509Certificate): PeerError | undefined
  close(): void
}

const lookEveryMs = 1_000

export interface RevocationOptions {
  /** PEM bundle with the whole CRL of each CA */
  file: string
  log: Logger
  onChange: () => void
}

/** @throws ConfigError when there is no readable bundle to begin with */
export function openRevocation({ file, log, onChange }: RevocationOptions): Revocation {
  let seen = fingerprint(file)
  let lists = load(file)
  const look = (): void => {
    const now = fingerprint(file)
    if (now === seen) return
    seen = now
    try {
      const next = load(file)
      if (![...lists.keys()].every((issuer) => next.has(issuer))) {
        throw new ConfigError([`tls.crlFile: ${file}: lacks the CRL of a CA that it had`])
      }
      lists = next
      log.info({
        event: 'crl.loaded',
        revoked: [...lists.values()].reduce((sum, { serials }) => sum + serials.size, 0),
      })
      onChange()
    } catch (error) {
      log.error({ event: 'crl.unreadable', file, detail: (error as Error).message })
    }
  }
  const timer = setInterval(look, lookEveryMs)
  return {
    fault: (certificate) => faultOf(lists, certificate),
    close: () => clearInterval(timer),
  }
}

function faultOf(lists: ReadonlyMap<string, Crl>, certificate: X509Certificate): PeerError | undefined {
  const parsed = parsedOnce(certificate)
  if (parsed instanceof PeerError) return parsed
  const { issuer, serial, authorityKeyId } = parsed
  const list = lists.get(nameOf(issuer, authorityKeyId))
  if (list === undefined) return new PeerError('REVOCATION_UNKNOWN', 'no CRL of its issuer')
  if (list.serials.has(serial)) return new PeerError('CERTIFICATE_REVOKED', 'revoked')
  if (list.nextUpdate !== undefined && list.nextUpdate * 1000 < Date.now()) {
    return new PeerError('REVOCATION_UNKNOWN', 'the CRL of its issuer has run out')
  }
  return undefined
}

/** Every live session is asked about again and again: its certificate is read once. */
const known = new WeakMap<X509Certificate, Certificate | PeerError>()

function parsedOnce(certificate: X509Certificate): Certificate | PeerError {
  const parsed = known.get(certificate) ?? parse(certificate.raw)
  known.set(certificate, parsed)
  return parsed
}

/** TLS takes forms that we do not: such a certificate is refused, and the process goes on. */
function parse(der: Uint8Array): Certificate | PeerError {
  try {
    return parseCertificate(der)
  } catch (cause) {
    if (!(cause instanceof PkiError)) throw cause
    return new PeerError('CERTIFICATE_UNTRUSTED', cause.message, { cause })
  }
}

function load(file: string): Map<string, Crl> {
  try {
    const crls = parseCrls(readFileSync(file, 'utf8'))
    if (crls.length === 0) throw new Error('no CRL in it')
    for (const crl of crls) checkWhole(crl)
    return new Map(crls.map((crl) => [nameOf(crl.issuer, crl.authorityKeyId), crl]))
  } catch (error) {
    throw new ConfigError([`tls.crlFile: ${file}: ${(error as Error).message}`])
  }
}

/** A list of some certificates only would let the others pass. */
function checkWhole({ unsupported, distributionPoint }: Crl): void {
  if (distributionPoint !== undefined) throw new Error('a CRL in it is a shard, and not of all that its CA issued')
  if (unsupported) throw new Error('a CRL in it says what is not known here and must not be passed over')
}

/** A CA that has changed its key has a list under each. */
function nameOf(issuer: Uint8Array, keyId: string | undefined): string {
  return `${hex(issuer)}/${keyId}`
}

function hex(octets: Uint8Array): string {
  return Buffer.from(octets.buffer, octets.byteOffset, octets.length).toString('hex')
}

/** Changes whenever the file is replaced. */
function fingerprint(file: string): string {
  const { mtimeMs, ino, size } = statSync(file, { throwIfNoEntry: false }) ?? { mtimeMs: 0, ino: 0, size: 0 }
  return `${mtimeMs}/${ino}/${size}`
}
