import { randomBytes } from 'node:crypto'
import { mkdirSync, mkdtempSync, readFileSync, statfsSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { makeDeviceKey, makeRequest } from '#pki/est/request.ts'
import { toPem } from '#pki/pem.ts'
import { type IssueRequest, initPki, openPki } from '#pki/store.ts'
import { Unavailable } from '../mosquitto.ts'

/** What all parts share, in one folder on a real disk: a throwaway PKI, some certificates of it, requests. */
export interface PkiLab {
  folder: string
  pki: string
  passphraseFile: string
  /** of the Device CA, one certificate */
  caFile: string
  rootFile: string
  /** the Device CA and the root */
  deviceTrustFile: string
  crlFile: string
  gateway: Filed
  concentrator: Filed
  /** OCSP responder of the Device CA */
  ocsp: Filed
}

/** A key and a chain in files, PEM. */
export interface Filed {
  keyFile: string
  chainFile: string
  /** upper-case hex */
  serial: string
}

/** The name that the gateway's certificate bears. */
export const servername = 'gateway.ami.test'
/** @see statfs(2), TMPFS_MAGIC */
const tmpfs = 0x01021994

/** @throws Unavailable when every temporary folder lies in memory: syncing there costs nothing and says nothing */
export async function openPkiLab(): Promise<PkiLab> {
  const place = [tmpdir(), '/var/tmp', process.cwd()].find((folder) => statfsSync(folder).type !== tmpfs)
  if (place === undefined) throw new Unavailable('no temporary folder on a disk')
  const folder = mkdtempSync(join(place, 'ami-bench-pki-'))
  const passphraseFile = join(folder, 'passphrase')
  writeFileSync(passphraseFile, `${randomBytes(24).toString('base64')}\n`, { mode: 0o600 })
  const dir = join(folder, 'pki')
  await initPki({ dir, passphraseFile })
  const pki = await openPki({ dir, passphraseFile })
  const file = async (request: IssueRequest): Promise<Filed> => {
    const { privateKeyPem, chainPem, serial } = await pki.issue(request)
    const [keyFile, chainFile] = [join(folder, `${request.id}.key.pem`), join(folder, `${request.id}.pem`)]
    writeFileSync(keyFile, privateKeyPem!, { mode: 0o600 })
    writeFileSync(chainFile, chainPem)
    return { keyFile, chainFile, serial }
  }
  const lab: PkiLab = {
    folder,
    pki: dir,
    passphraseFile,
    caFile: join(dir, 'device', 'certificate.pem'),
    rootFile: join(dir, 'root.pem'),
    deviceTrustFile: pki.trustFile('device'),
    crlFile: pki.crlFile,
    gateway: await file({ profile: 'gateway', id: 'gateway', names: { dns: [servername], ip: ['127.0.0.1'] } }),
    concentrator: await file({ profile: 'concentrator', id: 'dc-1' }),
    ocsp: await file({ profile: 'ocsp', id: 'ocsp', issuer: 'device' }),
  }
  await pki.close()
  return lab
}

/** PKCS#10 requests as files of PEM, `r0.pem` and so on, each for a key of its own. */
export function writeRequests({ folder }: PkiLab, count: number): string {
  const requests = join(folder, 'requests')
  mkdirSync(requests)
  for (let n = 0; n < count; n++) {
    writeFileSync(join(requests, requestName(n)), toPem('CERTIFICATE REQUEST', makeRequest(makeDeviceKey())))
  }
  return requests
}

export function requestName(n: number): string {
  return `r${n}.pem`
}

export function readPem(file: string): string {
  return readFileSync(file, 'utf8')
}
