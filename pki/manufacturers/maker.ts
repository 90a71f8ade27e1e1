import { parseCertificate } from '../certificate.ts'
import { type Authority, issueCertificate, publicKeyOctets } from '../issue.ts'
import { keyAlgorithms } from '../key-algorithm.ts'
import { processKey } from '../keystore/memory.ts'
import { encodeName } from '../names.ts'
import { toPem } from '../pem.ts'
import { type Profile, profiles } from '../profiles.ts'
import { templateWriter } from '../template.ts'

/** A manufacturer's CA: one level, for device certificates alone. */
const authorityProfile: Profile = {
  days: undefined, // its devices' certificates have no end either
  keyUsage: ['keyCertSign', 'crlSign'],
  extendedKeyUsage: [],
  names: 'none',
  policies: [],
  pathLength: 1, // it may put a CA of its own below it
}

export interface FactoryIdentity {
  /** the device's certificate, then its manufacturer's CA */
  chainPem: string
  /** PKCS#8, not encrypted */
  privateKeyPem: string
}

/** A manufacturer that does not exist, for the simulator and for tests: its keys are in memory. */
export interface Maker {
  caPem: string
  /** What a device leaves the factory with. @param serialNumber 1 to 64 characters of a PrintableString */
  make(serialNumber: string): Promise<FactoryIdentity>
}

/** @param now seconds since 1970 @throws PkiError `REQUEST_NAMES` */
export async function createMaker(organisation: string, now: () => number): Promise<Maker> {
  const { publicKey, sign } = processKey(keyAlgorithms.p256.make().privateKey)
  const hosts = { dns: [], ip: [] }
  const subject = encodeName({ organisation, common: `${organisation} Device Identity CA` })
  const own = { profile: authorityProfile, subject, id: 'manufacturer', hosts, publicKey, at: now() }
  const { der } = await issueCertificate(own, { issuer: undefined, sign })
  const authority: Authority = { certificate: parseCertificate(der), sign }
  const caPem = toPem('CERTIFICATE', der)
  const prepare = templateWriter()
  return {
    caPem,
    make: async (serialNumber) => {
      const keys = keyAlgorithms.p256.make()
      const template = {
        profile: profiles.manufacturer,
        subject: encodeName({ organisation, serialNumber }),
        id: '',
        hosts,
        publicKey: publicKeyOctets(keys.publicKey),
        at: now(),
      }
      const issued = await issueCertificate(template, { issuer: authority.certificate, sign, prepare })
      const privateKeyPem = keys.privateKey.export({ format: 'pem', type: 'pkcs8' }).toString()
      return { chainPem: toPem('CERTIFICATE', issued.der) + caPem, privateKeyPem }
    },
  }
}
