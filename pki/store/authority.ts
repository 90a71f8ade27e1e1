import { join } from 'node:path'
import { type Certificate, parseCertificate } from '../certificate.ts'
import { crlNumber, parseCrls } from '../crl.ts'
import { PkiError } from '../errors.ts'
import type { Authority } from '../issue.ts'
import { fromPem, toPem } from '../pem.ts'
import { type AuthorityName, authorityNames, authorityProfiles, backdateSeconds, daySeconds } from '../profiles.ts'
import { issueCrl } from '../revoke.ts'
import { readText, writeDurably } from './files.ts'

/**
 * A directory, for its owner only: `store.json`; `root.pem`, and below each CA's name its certificate and, unless a token
 * has it, its key (`root/` may be taken away); `trust/`, what a listener for one class trusts; `crl/`, one list a CA and
 * `crl.pem` with all of them, for Node and OpenSSL; `manufacturers/`; `journal.ndjson`.
 */
export const files = {
  config: 'store.json',
  rootCertificate: 'root.pem',
  crls: 'crl/crl.pem',
  journal: 'journal.ndjson',
  manufacturers: 'manufacturers',
} as const

export function crlFileOf(name: AuthorityName): string {
  return `crl/${name}.pem`
}

export function certificateFile(name: AuthorityName): string {
  return name === 'root' ? files.rootCertificate : `${name}/certificate.pem`
}

/** A class's CA and the root. */
export function trustFileOf(name: AuthorityName): string {
  return `trust/${name}.pem`
}

/** The CRL shards of a CA, for a web server to show under the URL that its certificates name. */
export function shardFolderOf(name: AuthorityName): string {
  return `public/${name}`
}

/** Seconds that a CRL may be relied on; half-way through, a new one is due. */
export function crlSeconds(name: AuthorityName): number {
  return authorityProfiles[name].crlDays * daySeconds
}

/** @throws PkiError `STORE_MISSING` */
export async function readCertificate(dir: string, name: AuthorityName): Promise<Certificate> {
  const file = certificateFile(name)
  const [der] = fromPem('CERTIFICATE', await readText(join(dir, file)))
  if (der === undefined) throw new PkiError('STORE_MISSING', `${file} holds no certificate`)
  return parseCertificate(der)
}

export interface CrlParts {
  authority: Authority
  at: number
  entries: readonly Uint8Array[]
}

/**
 * A CA's CRL of everything, signed and not yet in its place. The number grows from CRL to CRL: milliseconds since 1970, or one
 * more than the CRL that is replaced.
 * @returns DER
 */
export async function signCrl(
  dir: string,
  name: AuthorityName,
  { authority, at, entries }: CrlParts,
): Promise<Uint8Array> {
  const [previous] = parseCrls(await readText(join(dir, crlFileOf(name))).catch(() => ''))
  const [least, clock] = [previous === undefined ? 0n : crlNumber(previous) + 1n, BigInt(Math.floor(at * 1_000))]
  return issueCrl(
    {
      issuer: authority.certificate,
      number: clock > least ? clock : least,
      thisUpdate: at - backdateSeconds,
      nextUpdate: at + crlSeconds(name),
      entries,
    },
    authority.sign,
  )
}

export function placeCrl(dir: string, name: AuthorityName, der: Uint8Array): Promise<void> {
  return writeDurably(join(dir, crlFileOf(name)), toPem('X509 CRL', der))
}

/** Node and OpenSSL want the CRLs of all levels in one file. */
export async function bundleCrls(dir: string): Promise<void> {
  const crls = await Promise.all(authorityNames.map((name) => readText(join(dir, crlFileOf(name)))))
  await writeDurably(join(dir, files.crls), crls.join(''))
}
