import { readFile } from 'node:fs/promises'
import { ConfigError } from '#gateway/errors.ts'
import { type Certificate, certificatesFromPem, encodeEnveloped, parseCertificate, verifyChain } from '#pki/verify.ts'
import { CrlFile } from './signer.ts'

export interface EnvelopeFiles {
  /** PEM: the MDM's certificate, then its CA's */
  certificate: string
  /** PEM: the root among others */
  trustFile: string
  /** PEM: the CRLs of every CA; read again whenever it is replaced */
  crlFile: string
  /** seconds since 1970 */
  now?: () => number
}

export interface Enveloper {
  /**
   * For the MDM's eyes alone.
   * @returns DER
   * @throws ConfigError when the certificate is out of date or revoked, or a CRL missing: no batch goes to whoever has its key
   */
  wrap(octets: Uint8Array): Promise<Uint8Array>
}

/** What goes over the link goes as it is. */
export const noEnvelope: Enveloper = { wrap: async (octets) => octets }

/** @throws ConfigError that names the file */
export async function openEnveloper({
  certificate: file,
  trustFile,
  crlFile,
  now = () => Date.now() / 1_000,
}: EnvelopeFiles): Promise<Enveloper> {
  const [recipient, ...above] = await certificates(file)
  const roots = (await certificates(trustFile)).filter(isRoot).map(({ der }) => der)
  const crls = new CrlFile(crlFile)
  const check = async (): Promise<void> => {
    const at = now()
    const lists = await crls.current(at).catch((cause: Error) => {
      throw new ConfigError([`${crlFile}: ${cause.message}`])
    })
    const intermediates = above.map(({ der }) => der)
    const verdict = verifyChain({ leaf: recipient!.der, intermediates, roots, crls: lists, at, purpose: 'mdm' })
    if (!verdict.ok) throw new ConfigError([`forward.envelope: ${file}: ${verdict.code}: ${verdict.detail}`])
  }
  await check()
  return {
    wrap: async (octets) => {
      await check()
      return encodeEnveloped(octets, recipient!)
    },
  }
}

/** At least one. */
async function certificates(file: string): Promise<Certificate[]> {
  try {
    const found = certificatesFromPem(await readFile(file, 'utf8')).map(parseCertificate)
    if (found.length === 0) throw new Error('no certificate in it')
    return found
  } catch (cause) {
    throw new ConfigError([`forward.envelope: ${file}: ${(cause as Error).message}`])
  }
}

function isRoot({ subject, issuer }: Certificate): boolean {
  return Buffer.compare(subject, issuer) === 0
}
