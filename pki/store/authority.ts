import { createPublicKey, type KeyObject, sign as signOnce } from 'node:crypto'
import { join } from 'node:path'
import { parseCertificate } from '../certificate.ts'
import { crlNumber, parseCrls } from '../crl.ts'
import { PkiError } from '../errors.ts'
import { type Authority, publicKeyOctets } from '../issue.ts'
import { fromPem, toPem } from '../pem.ts'
import { type AuthorityName, backdateSeconds, daySeconds } from '../profiles.ts'
import { issueCrl } from '../revoke.ts'
import { equalOctets } from '../signature.ts'
import { readText, writeDurably } from './files.ts'
import { decryptKey } from './keys.ts'

/**
 * A directory, for its owner only:
 * `root/key.pem` and `issuing/key.pem` (encrypted; `root/` may be taken away), `root.pem`, `issuing/certificate.pem`,
 * `crl/root.pem`, `crl/issuing.pem`, `crl/crl.pem` (both, for Node and OpenSSL), `journal.ndjson`.
 */
export const files = {
  rootCertificate: 'root.pem',
  issuingCertificate: 'issuing/certificate.pem',
  crls: 'crl/crl.pem',
  journal: 'journal.ndjson',
} as const

export function keyFile(name: AuthorityName): string {
  return `${name}/key.pem`
}

export function crlFileOf(name: AuthorityName): string {
  return `crl/${name}.pem`
}

export function certificateFile(name: AuthorityName): string {
  return name === 'root' ? files.rootCertificate : files.issuingCertificate
}

/** How long a CRL may be relied on. The root's is long, because its key is away; half-way through, a new one is due. */
export const crlSeconds: Readonly<Record<AuthorityName, number>> = { root: 365 * daySeconds, issuing: 7 * daySeconds }

/** A key of this process as an authority's signing function. */
export function signer(key: KeyObject): Authority['sign'] {
  return async (octets) => signOnce('sha256', octets, key)
}

/** @throws PkiError `STORE_MISSING`, `STORE_PASSPHRASE`, `STORE_KEY` */
export async function openAuthority(dir: string, name: AuthorityName, passphrase: string): Promise<Authority> {
  const file = certificateFile(name)
  const [der] = fromPem('CERTIFICATE', await readText(join(dir, file)))
  if (der === undefined) throw new PkiError('STORE_MISSING', `${file} holds no certificate`)
  const certificate = parseCertificate(der)
  const key = decryptKey(await readText(join(dir, keyFile(name))), passphrase)
  if (!equalOctets(publicKeyOctets(createPublicKey(key)), certificate.publicKey)) {
    throw new PkiError('STORE_KEY', `${name}: the key is not the certificate's`)
  }
  return { certificate, sign: signer(key) }
}

export interface CrlParts {
  authority: Authority
  at: number
  entries: readonly Uint8Array[]
}

/** The number grows from CRL to CRL: milliseconds since 1970, or one more than the CRL that is replaced. */
export async function writeCrl(dir: string, name: AuthorityName, { authority, at, entries }: CrlParts): Promise<void> {
  const path = join(dir, crlFileOf(name))
  const [previous] = parseCrls(await readText(path).catch(() => ''))
  const [least, clock] = [previous === undefined ? 0n : crlNumber(previous) + 1n, BigInt(Math.floor(at * 1_000))]
  const der = await issueCrl(
    {
      issuer: authority.certificate,
      number: clock > least ? clock : least,
      thisUpdate: at - backdateSeconds,
      nextUpdate: at + crlSeconds[name],
      entries,
    },
    authority.sign,
  )
  await writeDurably(path, toPem('X509 CRL', der))
}

/** Node and OpenSSL want the CRLs of all levels in one file. */
export async function bundleCrls(dir: string): Promise<void> {
  const crls = await Promise.all((['root', 'issuing'] as const).map((name) => readText(join(dir, crlFileOf(name)))))
  await writeDurably(join(dir, files.crls), crls.join(''))
}
