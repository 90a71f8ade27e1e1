import { generateKeyPairSync, type KeyObject, sign } from 'node:crypto'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type Certificate, parseCertificate } from '#pki/certificate.ts'
import {
  bitList,
  bitString,
  boolean,
  context,
  contextPrimitive,
  encode,
  integer,
  octetString,
  oid,
  sequence,
  text,
  time,
} from '#pki/der.ts'
import { keyIdOf, newSerial, publicKeyOctets } from '#pki/issue.ts'
import { encodeName } from '#pki/names.ts'
import type { OcspIssuer } from '#pki/ocsp/responder.ts'
import type { CertificateStatus } from '#pki/ocsp/response.ts'
import { toPem } from '#pki/pem.ts'
import { ecdsaSha256 } from '#pki/signature.ts'

/** A key, its certificate, and both in files for the standard tools. */
export interface Actor {
  key: KeyObject
  certificate: Certificate
  certificateFile: string
  keyFile: string
}

export interface ActorOptions {
  issuer?: Actor
  ca?: boolean
  purposes?: readonly string[]
  host?: string
  uri?: string
  noCheck?: boolean
  days?: number
  /** more extensions, whole */
  more?: readonly Uint8Array[]
}

const purpose = {
  ocspSigning: '1.3.6.1.5.5.7.3.9',
  serverAuth: '1.3.6.1.5.5.7.3.1',
  clientAuth: '1.3.6.1.5.5.7.3.2',
} as const

export interface Cast {
  dir: string
  root: Actor
  ca: Actor
  responder: Actor
  server: Actor
  make(name: string, options: ActorOptions): Actor
  /** what the responder answers for, by serial; whoever is not there was never issued */
  statuses: Map<string, CertificateStatus>
  issuer: OcspIssuer
  close(): void
}

/** A root, a CA, its delegated responder and a server on 127.0.0.1, all valid now. */
export function cast(): Cast {
  const dir = mkdtempSync(join(tmpdir(), 'ami-ocsp-'))
  const make = (name: string, options: ActorOptions): Actor => makeActor(dir, name, options)
  const root = make('Root', { ca: true })
  const ca = make('CA', { issuer: root, ca: true })
  const responder = make('Responder', { issuer: ca, purposes: [purpose.ocspSigning], noCheck: true })
  const server = make('server', { issuer: ca, purposes: [purpose.serverAuth], host: 'localhost' })
  const statuses = new Map<string, CertificateStatus>([[server.certificate.serial, { state: 'good' }]])
  return {
    dir,
    root,
    ca,
    responder,
    server,
    make,
    statuses,
    issuer: {
      certificate: ca.certificate,
      responder: responder.certificate,
      sign: (octets) => sign('sha256', octets, responder.key),
      statusOf: (serial) => statuses.get(serial) ?? { state: 'unknown' },
    },
    close: () => rmSync(dir, { recursive: true, force: true }),
  }
}

function extension(type: string, critical: boolean, value: Uint8Array): Uint8Array {
  return sequence(oid(type), ...(critical ? [boolean(true)] : []), octetString(value))
}

function makeActor(dir: string, name: string, options: ActorOptions): Actor {
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  const spki = publicKeyOctets(publicKey)
  const { issuer, ca = false, purposes = [], host, uri, noCheck = false, days = 30, more = [] } = options
  const seconds = Math.floor(Date.now() / 1_000)
  const issuerName = issuer?.certificate.subject ?? encodeName({ common: name })
  const extensions = [
    extension(
      '2.5.29.35',
      false,
      sequence(encode(contextPrimitive(0), keyIdOf(issuer?.certificate.publicKey ?? spki))),
    ),
    extension('2.5.29.14', false, octetString(keyIdOf(spki))),
    extension('2.5.29.19', true, ca ? sequence(boolean(true)) : sequence()),
    extension('2.5.29.15', true, bitList(ca ? [5, 6] : [0])),
    ...(purposes.length > 0 ? [extension('2.5.29.37', false, sequence(...purposes.map(oid)))] : []),
    ...(host === undefined ? [] : [extension('2.5.29.17', false, sequence(text(contextPrimitive(2), host)))]),
    ...(uri === undefined ? [] : [extension('2.5.29.17', false, sequence(text(contextPrimitive(6), uri)))]),
    ...(noCheck ? [extension('1.3.6.1.5.5.7.48.1.5', false, encode(0x05))] : []),
    ...more,
  ]
  const tbs = sequence(
    encode(context(0), integer(2)),
    integer(newSerial()),
    ecdsaSha256,
    issuerName,
    sequence(time(seconds - 2 * 86_400), time(seconds + days * 86_400)),
    encodeName({ common: name }),
    spki,
    encode(context(3), sequence(...extensions)),
  )
  const der = sequence(tbs, ecdsaSha256, bitString(sign('sha256', tbs, issuer?.key ?? privateKey)))
  const [certificateFile, keyFile] = [join(dir, `${name}.pem`), join(dir, `${name}.key`)]
  writeFileSync(certificateFile, toPem('CERTIFICATE', der))
  writeFileSync(keyFile, privateKey.export({ format: 'pem', type: 'pkcs8' }), { mode: 0o600 })
  return { key: privateKey, certificate: parseCertificate(der), certificateFile, keyFile }
}
