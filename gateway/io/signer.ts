import { createPrivateKey, createPublicKey, type KeyObject, sign as signOnce } from 'node:crypto'
import { readFile, stat } from 'node:fs/promises'
import { ConfigError } from '#gateway/errors.ts'
import {
  type Certificate,
  type Crl,
  certificatesFromPem,
  encodeDetached,
  parseCertificate,
  parseCrls,
} from '#pki/verify.ts'

const sealerUri = 'urn:ami:sealer:'

export interface SignerFiles {
  /** PKCS#8 PEM of the sealer's key, not encrypted, for the gateway's eyes only */
  keyFile: string
  /** PEM: the sealer's certificate, then its CA's */
  certificateFile: string
  /** PEM: the CRLs of every CA; read again whenever it is replaced */
  crlFile: string
  /** seconds since 1970 */
  now?: () => number
}

export interface Signer {
  /** the sealer's id, as its certificate names it */
  id: string
  /**
   * A detached CMS signature, chain and CRLs within.
   * @returns DER
   * @throws ConfigError when a CRL is missing, unreadable or past its next update: what it would sign, nobody would accept
   */
  sign(content: Uint8Array): Promise<Uint8Array>
}

/** @throws ConfigError naming every file that is missing, unreadable, out of date, or does not fit the others */
export async function openSigner({
  keyFile,
  certificateFile,
  crlFile,
  now = systemClock,
}: SignerFiles): Promise<Signer> {
  const faults: string[] = []
  const noted = async <T>(file: string, read: () => Promise<T>): Promise<T | undefined> => {
    try {
      return await read()
    } catch (cause) {
      faults.push(`${file}: ${(cause as Error).message}`)
      return undefined
    }
  }
  const key = await noted(keyFile, async () => createPrivateKey(await readFile(keyFile)))
  const chain = await noted(certificateFile, () => readChain(certificateFile))
  const crls = new CrlFile(crlFile)
  await noted(crlFile, () => crls.current(now()))
  if (key !== undefined && chain !== undefined)
    faults.push(...misfits(key, chain, { keyFile, certificateFile, at: now() }))
  if (key === undefined || chain === undefined || faults.length > 0) throw new ConfigError(faults)
  return {
    id: sealerIdOf(chain[0]!)!,
    sign: async (content) => {
      const at = now()
      const lists = await crls.current(at).catch((cause: Error) => {
        throw new ConfigError([`${crlFile}: ${cause.message}`])
      })
      return encodeDetached({
        content,
        at,
        certificates: chain.map(({ der }) => der),
        crls: lists.filter(({ issuer }) => isAbove(chain, issuer)).map(({ der }) => der),
        sign: (octets, digest) => signOnce(digest, octets, key),
      })
    },
  }
}

/** Did this issuer issue one of the chain? The lists of other CAs say nothing about it. */
function isAbove(chain: readonly Certificate[], issuer: Uint8Array): boolean {
  return chain.some((one) => Buffer.compare(one.issuer, issuer) === 0)
}

function systemClock(): number {
  return Date.now() / 1_000
}

async function readChain(file: string): Promise<Certificate[]> {
  const chain = certificatesFromPem(await readFile(file, 'utf8')).map(parseCertificate)
  if (chain.length < 2) throw new Error('the certificate of the sealer and that of its CA belong here')
  return chain
}

function sealerIdOf({ alternativeNames }: Certificate): string | undefined {
  const [uri] = alternativeNames?.uri ?? []
  return uri?.startsWith(sealerUri) ? uri.slice(sealerUri.length) : undefined
}

function misfits(
  key: KeyObject,
  [leaf]: readonly Certificate[],
  { keyFile, certificateFile, at }: { keyFile: string; certificateFile: string; at: number },
): string[] {
  const faults: string[] = []
  const publicKey = createPublicKey(key).export({ format: 'der', type: 'spki' })
  if (Buffer.compare(publicKey, leaf!.publicKey) !== 0) faults.push(`${keyFile}: not the key of ${certificateFile}`)
  if (sealerIdOf(leaf!) === undefined) faults.push(`${certificateFile}: the first certificate is not a sealer's`)
  if (at < leaf!.notBefore || at > leaf!.notAfter) faults.push(`${certificateFile}: the certificate is out of date`)
  return faults
}

/** The CRLs in a file that another process replaces now and then. */
export class CrlFile {
  readonly #path: string
  #version = ''
  #crls: Crl[] = []

  constructor(path: string) {
    this.#path = path
  }

  /** @throws Error, PkiError when they cannot be read or are out of date */
  async current(at: number): Promise<Crl[]> {
    const { ino, mtimeMs, size } = await stat(this.#path)
    const version = `${ino} ${mtimeMs} ${size}`
    if (version !== this.#version) {
      this.#crls = parseCrls(await readFile(this.#path, 'utf8'))
      this.#version = version
    }
    if (this.#crls.length === 0) throw new Error('no CRL')
    if (this.#crls.some(({ nextUpdate }) => nextUpdate === undefined || nextUpdate < at)) {
      throw new Error('a CRL is past its next update; `ami pki crl` writes a fresh one')
    }
    return this.#crls
  }
}
