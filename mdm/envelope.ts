import { createPrivateKey, createPublicKey, type KeyObject } from 'node:crypto'
import { ConfigError, PeerError } from '#gateway/errors.ts'
import {
  type Certificate,
  certificatesFromPem,
  type EnvelopeKey,
  isEnveloped,
  openEnveloped,
  PkiError,
  parseCertificate,
} from '#pki/verify.ts'
import { readSecret, readText } from './secret-file.ts'

export interface EnvelopeFiles {
  /** PKCS#8 PEM, readable by the owner alone */
  keyFile: string
  /** PEM: the MDM's certificate */
  certificateFile: string
  /** its first line opens the key, where that is encrypted; readable by the owner alone */
  passphraseFile: string | undefined
}

const name = 'envelopeKeys'

/** A key that envelopes are opened with. @throws ConfigError that names the file; it holds nothing of the key */
export function readEnvelopeKey({ keyFile, certificateFile, passphraseFile }: EnvelopeFiles): EnvelopeKey {
  const certificate = readCertificate(certificateFile)
  const privateKey = readKey(keyFile, passphraseFile)
  const publicKey = createPublicKey(privateKey).export({ format: 'der', type: 'spki' })
  if (Buffer.compare(publicKey, certificate.publicKey) !== 0) {
    throw new ConfigError([`${name}: ${keyFile}: not the key of ${certificateFile}`])
  }
  return { certificate, privateKey }
}

function readKey(file: string, passphraseFile: string | undefined): KeyObject {
  const pem = readSecret(name, file)
  const passphrase = passphraseFile && readSecret(name, passphraseFile).split(/\r?\n/)[0]
  try {
    return createPrivateKey({ key: pem, format: 'pem', passphrase })
  } catch {
    const what =
      passphrase === undefined ? 'not a key in PEM that needs no passphrase' : 'the passphrase does not open it'
    throw new ConfigError([`${name}: ${file}: ${what}`])
  }
}

function readCertificate(file: string): Certificate {
  const text = readText(name, file)
  try {
    const [leaf] = certificatesFromPem(text)
    if (leaf === undefined) throw new ConfigError([`${name}: ${file}: no certificate in it`])
    return parseCertificate(leaf)
  } catch (error) {
    if (!(error instanceof PkiError)) throw error
    throw new ConfigError([`${name}: ${file}: ${error.message}`])
  }
}

/**
 * A sealed batch out of its envelope; one that has none is as it was: its signature says what it is worth, either way.
 * @throws PeerError `ENVELOPE_MALFORMED`, `ENVELOPE_RECIPIENT`, `ENVELOPE_UNAUTHENTIC`
 */
export function withoutEnvelope(octets: Buffer, keys: readonly EnvelopeKey[]): Buffer {
  if (!isEnveloped(octets)) return octets
  try {
    return openEnveloped(octets, keys)
  } catch (cause) {
    if (!(cause instanceof PkiError)) throw cause
    const { code, message } = cause
    if (code === 'ENVELOPE_RECIPIENT' || code === 'ENVELOPE_UNAUTHENTIC') throw new PeerError(code, message, { cause })
    throw new PeerError('ENVELOPE_MALFORMED', message, { cause })
  }
}
