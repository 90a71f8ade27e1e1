import { apduName, decodeApdu } from './codec/apdu.ts'
import type { GeneralSigning } from './codec/general-signing.ts'
import { type Ciphered, isCiphered, protectedNames } from './codec/protection.ts'
import { PeerError } from './errors.ts'
import type { CounterName, Counters, Layered } from './io/meter-keys.ts'
import type { RegisteredMeter } from './io/registry.ts'
import { layersMax } from './readings/explain.ts'
import type { KeySet } from './session/policy.ts'
import { unsign } from './session/signing.ts'
import { type KeyState, type MeterSecurity, unprotect } from './session/unprotect.ts'

/** What lay in the middle, and all counters as they stand when it has been let in. */
export interface Opened {
  plain: Uint8Array
  counters: Counters
}

/** A meter whose line names the forms that it speaks in. */
export type LayeredMeter = RegisteredMeter & { layered: Layered }

/**
 * Opens an APDU layer by layer: ciphered in any form that the meter may use, signed, one in the other, at most `layersMax`
 * deep. Each ciphering must be as the meter's policy asks, at least one there must be; where the policy asks for a signature
 * it may lie around the ciphering or inside it. Changes nothing: when a layer does not hold, those around it have not counted.
 * @param before the counters as they stand
 * @throws PeerError as `unprotect`, `unsign` and `decodeApdu`; `SECURITY_SERVICE` also for two layers of one counter,
 *   `SECURITY_DOWNGRADE` also where a layer is missing, `APDU_UNSUPPORTED` for too many
 */
export function openLayers(octets: Uint8Array, meter: LayeredMeter, before: Counters): Opened {
  let [plain, counters] = [octets, before]
  const passed = new Set<CounterName>()
  while (plain === octets || protectedNames.has(plain[0]!)) {
    if (passed.size === layersMax) throw new PeerError('APDU_UNSUPPORTED', `more than ${layersMax} layers`)
    const layer = openLayer(plain, meter, counters)
    if (passed.has(layer.name)) throw new PeerError('SECURITY_SERVICE', `two layers that count as ${layer.name}`)
    passed.add(layer.name)
    plain = layer.plain
    counters = { ...counters, [layer.name]: layer.value }
  }
  checkWhole(plain, passed, meter.layered)
  return { plain, counters }
}

/** A layer that is off, and what it counts. */
interface Layer {
  plain: Uint8Array
  name: CounterName
  value: bigint
}

function openLayer(octets: Uint8Array, meter: LayeredMeter, counters: Counters): Layer {
  const apdu = decodeApdu(octets)
  if (isCiphered(apdu)) return decipher(apdu, meter, counters)
  if (apdu.apdu === 'general-signing') return checkSigned(apdu, meter, counters)
  throw new PeerError('SECURITY_DOWNGRADE', `${apdu.apdu} where a ciphered APDU was due`)
}

function decipher(apdu: Ciphered, meter: LayeredMeter, counters: Counters): Layer {
  const { plain, invocationCounter, keySet, transaction } = unprotect(
    apdu,
    securityOf(meter, counters),
    meter.layered.policy,
  )
  return { plain, name: counterOf(keySet), value: transaction ?? BigInt(invocationCounter) }
}

function counterOf(keySet: KeySet): CounterName {
  return keySet === 'wrapped' || keySet === 'agreed' ? 'message' : keySet
}

function securityOf({ title, ek, ak, layered }: LayeredMeter, counters: Counters): MeterSecurity {
  const { eks, kek, agreement, own } = layered
  const state = (name: keyof typeof eks): { [key in typeof name]?: KeyState } => {
    const key = eks[name]
    return key === undefined ? {} : { [name]: { ek: key, lastCounter: Number(counters[name]) } }
  }
  return {
    systemTitle: title,
    ek,
    ak,
    lastCounter: Number(counters.unicast),
    lastTransaction: counters.message,
    ...state('broadcast'),
    ...state('dedicated'),
    ...state('settled'),
    ...(kek === undefined ? {} : { kek }),
    ...(agreement === undefined ? {} : { agreement }),
    ...(own === undefined ? {} : { own }),
  }
}

function checkSigned(apdu: GeneralSigning, { title, layered }: LayeredMeter, counters: Counters): Layer {
  const { takesSigned, signingKey: publicKey, own, suite } = layered
  if (!takesSigned) throw new PeerError('SECURITY_SERVICE', 'general-signing is not taken')
  if (publicKey === undefined || own === undefined) throw new PeerError('KEY_MISSING', 'no key for signatures')
  const signer = { systemTitle: title, publicKey, suite, own, lastTransaction: counters.signature }
  const { content, transaction } = unsign(apdu, signer)
  return { plain: content, name: 'signature', value: transaction }
}

/** A signature alone hides nothing, and a ciphering alone is not a signature. */
function checkWhole(plain: Uint8Array, passed: ReadonlySet<CounterName>, { asksSigned }: Layered): void {
  const isSigned = passed.has('signature')
  if (passed.size === (isSigned ? 1 : 0)) {
    throw new PeerError(
      'SECURITY_DOWNGRADE',
      `${apduName(plain[0]!) ?? 'an APDU'} signed, where it was due ciphered too`,
    )
  }
  if (asksSigned && !isSigned) throw new PeerError('SECURITY_DOWNGRADE', 'not signed')
}
