import { createCipheriv, createHash, createHmac } from 'node:crypto'
import { encodeGeneralDedCiphering, encodeGeneralGloCiphering } from '#gateway/codec/ciphering.ts'
import {
  agreementScheme,
  encodeGeneralCiphering,
  encodeProtectionHeader,
  type KeyInfo,
  type ProtectionHeader,
} from '#gateway/codec/general-ciphering.ts'
import { encodeGeneralSigning, signedOctets } from '#gateway/codec/general-signing.ts'
import { elliptics } from './elliptic.ts'
import type { SimulatedMeter } from './fleet.ts'
import { ciphered, protect } from './protect.ts'
import { protectionsByName } from './protections.ts'

/** A push in clear to what the meter sends. @param counter never the same twice: it numbers messages too */
export type Seal = (plain: Uint8Array, counter: number) => Uint8Array

/** How a meter seals: what stays the same from push to push is computed once. */
export function sealOf(meter: SimulatedMeter): Seal {
  const { form, signed } = protectionsByName[meter.protection]
  const seal = { 'general-glo': general, 'general-ded': general, identified, wrapped, agreed }[form](meter)
  return signed ? signing(meter, seal) : seal
}

/** General-glo-ciphering or general-ded-ciphering: the titled forms. */
function general(meter: SimulatedMeter): Seal {
  const { systemTitle, ek, ak, secrets } = meter
  const { suite, form } = protectionsByName[meter.protection]
  if (suite === 0 && form === 'general-glo') {
    return (plain, invocationCounter) => protect(plain, { systemTitle, ek, ak, invocationCounter })
  }
  const title = Buffer.from(systemTitle, 'hex')
  const key = form === 'general-ded' ? secrets!.dedicatedEk : ek
  return (plain, invocationCounter) => {
    const service = ciphered(plain, { suite, title, ek: key, ak, invocationCounter })
    return form === 'general-ded'
      ? encodeGeneralDedCiphering({ apdu: 'general-ded-ciphering', systemTitle: title, ...service })
      : encodeGeneralGloCiphering({ apdu: 'general-glo-ciphering', systemTitle: title, ...service })
  }
}

function identified(meter: SimulatedMeter): Seal {
  return (plain, counter) => {
    const header = headerOf(meter, counter)
    return generalCiphering(plain, meter, { header, ek: meter.ek, keyInfo: { kind: 'identified', key: 'unicast' } })
  }
}

/** A key for each message, which follows from its number. */
function wrapped(meter: SimulatedMeter): Seal {
  const { kek } = meter.secrets!
  return (plain, counter) => {
    const header = headerOf(meter, counter)
    const ek = createHmac('sha256', kek).update(header.transactionId).digest().subarray(0, kek.length)
    const cipher = createCipheriv(`aes${kek.length * 8}-wrap`, kek, wrapIv)
    const keyInfo: KeyInfo = { kind: 'wrapped', wrapped: Buffer.concat([cipher.update(ek), cipher.final()]) }
    return generalCiphering(plain, meter, { header, ek, keyInfo })
  }
}

/** C(0e, 2s): what both sides share is always the same, the number of the message makes its key another. */
function agreed(meter: SimulatedMeter): Seal {
  const { secrets } = meter
  const suite = protectionsByName[meter.protection].suite as 1 | 2
  const { hash, shared } = elliptics[suite]
  const z = shared(secrets!.agreement, secrets!.headEndPublic)
  const keyInfo: KeyInfo = {
    kind: 'agreed',
    parameters: Uint8Array.of(agreementScheme.staticUnified),
    data: Uint8Array.of(),
  }
  return (plain, counter) => {
    const header = headerOf(meter, counter)
    const { originator, transactionId, recipient } = header
    const digest = createHash(hash)
    const info = [
      round,
      z,
      algorithmIds[suite],
      originator,
      Uint8Array.of(transactionId.length),
      transactionId,
      recipient,
    ]
    for (const part of info) digest.update(part)
    return generalCiphering(plain, meter, { header, ek: digest.digest().subarray(0, meter.ek.length), keyInfo })
  }
}

/** @see NIST SP 800-56A, 5.8.1.1: one round is enough */
const round = Uint8Array.of(0, 0, 0, 1)
/** @see RFC 3394, 2.2.3.1 */
const wrapIv = Buffer.alloc(8, 0xa6)
/** @see Green Book, key derivation function: AES-GCM-128, AES-GCM-256 */
const algorithmIds = { 1: Buffer.from('60857405080300', 'hex'), 2: Buffer.from('60857405080301', 'hex') } as const

function generalCiphering(
  plain: Uint8Array,
  { protection, ak }: SimulatedMeter,
  { header, ek, keyInfo }: { header: ProtectionHeader; ek: Uint8Array; keyInfo: KeyInfo },
): Uint8Array {
  const { suite } = protectionsByName[protection]
  const invocationCounter = Buffer.from(header.transactionId).readUInt32BE(4)
  const authenticated = encodeProtectionHeader(header)
  const { originator: title } = header
  const service = ciphered(plain, { suite, title, ek, ak, invocationCounter, header: authenticated })
  return encodeGeneralCiphering({ apdu: 'general-ciphering', ...header, keyInfo, ...service })
}

/** Around what another seal makes. */
function signing(meter: SimulatedMeter, seal: Seal): Seal {
  const { signingKey, signature } = elliptics[protectionsByName[meter.protection].suite as 1 | 2]
  const key = signingKey(meter.secrets!.signing)
  return (plain, counter) => {
    const unsigned = { ...headerOf(meter, counter), content: seal(plain, counter) }
    return encodeGeneralSigning({
      apdu: 'general-signing',
      ...unsigned,
      signature: signature(signedOctets(unsigned), key),
    })
  }
}

/** From the meter to the head-end; the message's number in eight octets. */
function headerOf({ systemTitle, secrets }: SimulatedMeter, counter: number): ProtectionHeader {
  const transactionId = Buffer.alloc(8)
  transactionId.writeUInt32BE(counter, 4)
  return {
    transactionId,
    originator: Buffer.from(systemTitle, 'hex'),
    recipient: Buffer.from(secrets!.headEnd, 'hex'),
    dateTime: Uint8Array.of(),
    otherInformation: Uint8Array.of(),
  }
}
