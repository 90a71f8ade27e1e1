import { createHmac, createPublicKey, type KeyObject } from 'node:crypto'
import type { SystemTitle } from '#gateway/model.ts'
import { elliptics } from './elliptic.ts'

/** The secrets of a meter that listens. They follow from its seed, and protect a simulation and nothing else. */
export interface MeterKeys {
  /** 16 octets, in suite 2 they have 32 */
  ek: Uint8Array
  ak: Uint8Array
  /** for MD5, SHA-1 and SHA-256 */
  secret: Uint8Array
  password: string
  /** the meter's private key for signatures, and its client's; `undefined` in suite 0 */
  signing: KeyObject | undefined
  clientSigning: KeyObject | undefined
}

/** @param suite 0 to 2 */
export function meterKeys(seed: number, title: SystemTitle, suite: number): MeterKeys {
  const octets = suite === 2 ? 32 : 16
  const derived = (what: string, length: number): Buffer => {
    const digest = createHmac('sha512', `ami simulation ${seed}`).update(what).update(title, 'hex').digest()
    return digest.subarray(0, length)
  }
  const elliptic = suite === 1 || suite === 2 ? elliptics[suite] : undefined
  const signing = (what: string): KeyObject | undefined => {
    if (elliptic === undefined) return undefined
    const number = derived(what, elliptic.octets)
    number[0]! &= 0x7f // below the order of either curve
    return elliptic.signingKey(number)
  }
  return {
    ek: derived('ek', octets),
    ak: derived('ak', octets),
    secret: derived('hls', 16),
    password: derived('lls', 8).toString('hex'),
    signing: signing('signing'),
    clientSigning: signing('client signing'),
  }
}

/** What a client is told, as text: it goes into a file that only its owner reads. */
export function clientFile(meter: SystemTitle, client: SystemTitle, suite: number, keys: MeterKeys): string {
  const { ek, ak, secret, password, signing, clientSigning } = keys
  const said = {
    meter,
    client,
    suite,
    ek: hex(ek),
    ak: hex(ak),
    secret: hex(secret),
    password,
    ...(signing && { meterPublicKey: createPublicKey(signing).export({ type: 'spki', format: 'pem' }) }),
    ...(clientSigning && { clientPrivateKey: clientSigning.export({ type: 'pkcs8', format: 'pem' }) }),
  }
  return `${JSON.stringify(said, undefined, 2)}\n`
}

function hex(octets: Uint8Array): string {
  return Buffer.from(octets).toString('hex')
}
