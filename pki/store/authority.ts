import { existsSync } from 'node:fs'
import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { type Certificate, parseCertificate } from '../certificate.ts'
import { numberOfCrl } from '../crl.ts'
import { encodeCrl } from '../crl-writer.ts'
import { PkiError } from '../errors.ts'
import type { Authority } from '../issue.ts'
import { fromPem, toPem } from '../pem.ts'
import {
  type AuthorityName,
  authorityNames,
  authorityProfiles,
  backdateSeconds,
  daySeconds,
  type Generation,
  generationParts,
  isGeneration,
} from '../profiles.ts'
import type { Revocation } from '../revoke.ts'
import { readText, writeDurably } from './files.ts'

/**
 * A directory, for its owner only: `store.json`; `root.pem`, and below each CA's name its certificate and, unless a token
 * has it, its key (`root/` may be taken away), a later one's below `<name>-<number>`; `trust/`, what a listener for one class trusts; `crl/`, one list a CA and
 * `crl.pem` with all of them, for Node and OpenSSL; `manufacturers/`; `journal.ndjson`.
 */
export const files = {
  config: 'store.json',
  rootCertificate: 'root.pem',
  crls: 'crl/crl.pem',
  journal: 'journal.ndjson',
  manufacturers: 'manufacturers',
} as const

export function crlFileOf(name: Generation): string {
  return `crl/${name}.pem`
}

export function certificateFile(name: Generation): string {
  return name === 'root' ? files.rootCertificate : `${name}/certificate.pem`
}

/** A class's CA and the root. */
export function trustFileOf(name: AuthorityName): string {
  return `trust/${name}.pem`
}

/** The CRL shards of a CA, for a web server to show under the URL that its certificates name. */
export function shardFolderOf(name: Generation): string {
  return `public/${name}`
}

/** Seconds that a CRL may be relied on; half-way through, a new one is due. */
export function crlSeconds(name: Generation): number {
  return authorityProfiles[generationParts(name).name].crlDays * daySeconds
}

/** @throws PkiError `STORE_MISSING` */
export async function readCertificate(dir: string, name: Generation): Promise<Certificate> {
  const file = certificateFile(name)
  const [der] = fromPem('CERTIFICATE', await readText(join(dir, file)))
  if (der === undefined) throw new PkiError('STORE_MISSING', `${file} holds no certificate`)
  return parseCertificate(der)
}

export interface CrlParts {
  authority: Authority
  at: number
  revoked: readonly Revocation[]
}

/**
 * The CRL of all that one key of a CA issued, signed and not yet in its place.
 * @param least the number that it has at the least; milliseconds since 1970 where those are more
 * @returns DER
 */
export function signCrl(
  name: Generation,
  { authority, at, revoked }: CrlParts,
  least: bigint = 0n,
): Promise<Uint8Array> {
  const clock = BigInt(Math.floor(at * 1_000))
  const head = {
    issuer: authority.certificate,
    number: clock > least ? clock : least,
    thisUpdate: at - backdateSeconds,
    nextUpdate: at + crlSeconds(name),
  }
  return encodeCrl(head, revoked, authority.sign)
}

/** As `signCrl`; the number grows from the CRL that is replaced. */
export async function signNextCrl(dir: string, name: Generation, parts: CrlParts): Promise<Uint8Array> {
  const [previous] = fromPem('X509 CRL', await readText(join(dir, crlFileOf(name))).catch(() => ''))
  return signCrl(name, parts, previous === undefined ? 0n : numberOfCrl(previous) + 1n)
}

export function placeCrl(dir: string, name: Generation, der: Uint8Array): Promise<void> {
  return writeDurably(join(dir, crlFileOf(name)), toPem('X509 CRL', der))
}

/** Every key that a store's CAs have or had, oldest first: one counts once its certificate is there. */
export async function generationsIn(dir: string): Promise<Generation[]> {
  const later = (await readdir(dir)).filter((name): name is Generation => isGeneration(name) && !isFirst(name))
  const whole = later.filter((generation) => existsSync(join(dir, certificateFile(generation))))
  return [...authorityNames, ...whole.toSorted((a, b) => generationParts(a).number - generationParts(b).number)]
}

function isFirst(generation: Generation): boolean {
  return authorityNames.some((name) => name === generation)
}

/** Node and OpenSSL want the CRLs of all levels in one file. */
export async function bundleCrls(dir: string, generations: readonly Generation[] = authorityNames): Promise<void> {
  const crls = await Promise.all(generations.map((name) => readText(join(dir, crlFileOf(name)))))
  await writeDurably(join(dir, files.crls), crls.join(''))
}
