import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Zones } from '#pki/extensions.ts'
import type { ProfileSetName } from '#pki/key-algorithm.ts'
import type { RevocationReason } from '#pki/revoke.ts'
import type { PublicationBase } from '#pki/store/config.ts'
import { type IssuedCertificate, type IssueRequest, initPki, openPki, type Pki } from '#pki/store.ts'

/** A certificate in files too, for TLS options and for `openssl`. */
export interface FiledCertificate extends IssuedCertificate {
  /** the leaf and its CA */
  certificateFile: string
  /** `undefined` for a request that brought its key */
  keyFile: string | undefined
}

export interface ThrowawayPki {
  /** temporary; holds `ca/`, the issued certificates and whatever a test puts there */
  dir: string
  /** what `openPki` takes */
  caDir: string
  passphraseFile: string
  rootPem: string
  rootFile: string
  /** the Device CA and the root: what the gateway's listener trusts */
  deviceTrustPem: string
  deviceTrustFile: string
  /** PEM of every CA's CRL, replaced by `revoke` */
  crlFile: string
  pki: Pki
  issue(
    profile: IssueRequest['profile'],
    id: string,
    options?: Omit<IssueRequest, 'profile' | 'id'>,
  ): Promise<FiledCertificate>
  revoke(serial: string, reason?: RevocationReason): Promise<void>
  /** closes it and removes the directory */
  close(): Promise<void>
}

export interface WithForeign extends ThrowawayPki {
  /** another PKI of the same names, which nobody here trusts; made when first asked for, closed with this one */
  foreign(): Promise<ThrowawayPki>
}

export interface ThrowawayOptions {
  /** seconds since 1970, for what is to be expired or not yet valid */
  now?: () => number
  zones?: Zones
  publication?: PublicationBase
  /** without: P-256 */
  profileSet?: ProfileSetName
}

/**
 * A PKI in a temporary directory. Gateway certificates name `localhost`, `127.0.0.1` and `::1` unless told otherwise.
 */
export async function throwawayPki(options: ThrowawayOptions = {}): Promise<WithForeign> {
  const own = await single(options)
  let other: Promise<ThrowawayPki> | undefined
  return {
    ...own,
    foreign: () => {
      other ??= single(options)
      return other
    },
    close: async () => {
      await own.close()
      await (await other)?.close()
    },
  }
}

async function single(options: ThrowawayOptions): Promise<ThrowawayPki> {
  const dir = await mkdtemp(join(tmpdir(), 'ami-pki-'))
  const passphraseFile = join(dir, 'passphrase')
  await writeFile(passphraseFile, 'throwaway, for tests only\n', { mode: 0o600 })
  const caDir = join(dir, 'ca')
  await initPki({ dir: caDir, passphraseFile, ...options })
  const pki = await openPki({ dir: caDir, passphraseFile, ...options })
  return {
    dir,
    caDir,
    passphraseFile,
    rootPem: pki.rootPem,
    deviceTrustFile: pki.trustFile('device'),
    deviceTrustPem: await readFile(pki.trustFile('device'), 'utf8'),
    rootFile: join(caDir, 'root.pem'),
    crlFile: pki.crlFile,
    pki,
    issue: async (profile, id, request = {}) => {
      const names = profile === 'gateway' ? { names: { dns: ['localhost'], ip: ['127.0.0.1', '::1'] } } : {}
      return file(dir, await pki.issue({ profile, id, ...names, ...request }))
    },
    revoke: (serial, reason = 'unspecified') => pki.revoke(serial, reason),
    close: async () => {
      await pki.close()
      await rm(dir, { recursive: true, force: true })
    },
  }
}

async function file(dir: string, issued: IssuedCertificate): Promise<FiledCertificate> {
  const certificateFile = join(dir, `${issued.serial}.pem`)
  await writeFile(certificateFile, issued.chainPem, { mode: 0o600 })
  if (issued.privateKeyPem === undefined) return { ...issued, certificateFile, keyFile: undefined }
  const keyFile = join(dir, `${issued.serial}.key.pem`)
  await writeFile(keyFile, issued.privateKeyPem, { mode: 0o600 })
  return { ...issued, certificateFile, keyFile }
}
