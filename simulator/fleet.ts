import { createHmac } from 'node:crypto'
import { ConfigError } from '#gateway/errors.ts'
import {
  type ConcentratorId,
  concentratorId,
  type SubstationId,
  type SystemTitle,
  substationId,
  systemTitle,
} from '#gateway/model.ts'
import { defaultProtection, type ProtectionName } from './protections.ts'
import { hash } from './random.ts'
import { keyOctetsOf, type Secrets, secretsOf } from './secrets.ts'

/** A meter that exists only here. Its keys follow from the seed: they protect a simulation and nothing else. */
export interface SimulatedMeter {
  /** `AMI`, two octets of the fleet, three of the meter */
  readonly systemTitle: SystemTitle
  /** global unicast encryption key, 16 octets, 32 in suite 2 */
  readonly ek: Uint8Array
  /** authentication key, as long as `ek` */
  readonly ak: Uint8Array
  readonly protection: ProtectionName
  /** other keys, where its protection needs some */
  readonly secrets: Secrets | undefined
  /** of its household, an unsigned 32-bit integer */
  readonly seed: number
}

export interface FleetConcentrator {
  readonly id: ConcentratorId
  readonly meters: readonly SimulatedMeter[]
}

export interface FleetSubstation {
  readonly id: SubstationId
  readonly concentrators: readonly FleetConcentrator[]
}

export interface Fleet {
  readonly substations: readonly FleetSubstation[]
}

export interface FleetSize {
  /** an unsigned 32-bit integer; the same seed and sizes give the same fleet */
  seed: number
  /** 1 to 999, without the small one */
  substations: number
  /** in all, 1 to 99,999; at least one a substation */
  concentrators: number
  /** in all, 1 to 10,000,000; at least one a concentrator */
  meters: number
  /** one substation more, of one concentrator and seven meters taken from the totals: too few to be released */
  smallSubstation?: boolean
  /** how meters protect their pushes, in turn; all in general-glo-ciphering of suite 0 where it is not said */
  protection?: readonly ProtectionName[] | undefined
}

/** Fewer than the ten that a released cell needs. */
const smallMeters = 7

/**
 * Substations, concentrators and meters, as evenly spread as their numbers allow.
 * @throws ConfigError with every size that does not fit
 */
export function makeFleet(size: FleetSize): Fleet {
  check(size)
  const small = size.smallSubstation ? 1 : 0
  const concentrators = size.concentrators - small
  const meters = size.meters - small * smallMeters
  const makeMeter = meterMaker(size.seed, size.protection ?? [defaultProtection])
  const concentrator = (index: number, first: number, end: number): FleetConcentrator => ({
    id: concentratorId(`dc-${String(index + 1).padStart(5, '0')}`),
    meters: Array.from({ length: end - first }, (_, offset) => makeMeter(first + offset)),
  })
  const substations = Array.from({ length: size.substations }, (_, index) => ({
    id: idOf(index),
    concentrators: range(
      cut(concentrators, size.substations, index),
      cut(concentrators, size.substations, index + 1),
    ).map((each) => concentrator(each, cut(meters, concentrators, each), cut(meters, concentrators, each + 1))),
  }))
  if (small === 0) return { substations }
  const last = { id: idOf(size.substations), concentrators: [concentrator(concentrators, meters, size.meters)] }
  return { substations: [...substations, last] }
}

function check({ seed, substations, concentrators, meters, smallSubstation }: FleetSize): void {
  const faults: string[] = []
  const whole = (name: string, value: number, min: number, max: number): void => {
    if (!Number.isInteger(value) || value < min || value > max) faults.push(`${name}: a whole number, ${min} to ${max}`)
  }
  whole('seed', seed, 0, 0xffff_ffff)
  whole('substations', substations, 1, 999)
  whole('concentrators', concentrators, 1, 99_999)
  whole('meters', meters, 1, 10_000_000)
  const small = smallSubstation ? 1 : 0
  if (concentrators < substations + small) {
    faults.push(`concentrators: ${concentrators} are too few for ${substations + small} substations`)
  }
  if (meters < concentrators - small + small * smallMeters) {
    faults.push(
      `meters: ${meters} are too few for ${concentrators} concentrators${small ? ', one of them with 7' : ''}`,
    )
  }
  if (faults.length > 0) throw new ConfigError(faults)
}

function idOf(index: number): SubstationId {
  return substationId(`sub-${String(index + 1).padStart(3, '0')}`)
}

/** Where part `index` of `parts` begins when `total` is cut evenly. */
function cut(total: number, parts: number, index: number): number {
  return Math.floor((total * index) / parts)
}

function range(first: number, end: number): number[] {
  return Array.from({ length: end - first }, (_, offset) => first + offset)
}

/** Both keys are halves of one HMAC of the system title, keyed by the fleet's seed: SHA-256, in suite 2 SHA-512. */
function meterMaker(fleetSeed: number, protections: readonly ProtectionName[]): (index: number) => SimulatedMeter {
  const secret = `ami simulation ${fleetSeed}`
  const fleetNumber = hash(fleetSeed, 0, 0) & 0xffff
  return (index) => {
    const title = Buffer.from('AMI\0\0\0\0\0', 'latin1')
    title.writeUInt16BE(fleetNumber, 3)
    title.writeUIntBE(index + 1, 5, 3)
    const protection = protections[index % protections.length]!
    const octets = keyOctetsOf(protection)
    const digest = createHmac(octets === 16 ? 'sha256' : 'sha512', secret)
      .update(title)
      .digest()
    const keys = new Uint8Array(digest)
    return {
      systemTitle: systemTitle(title),
      ek: keys.subarray(0, octets),
      ak: keys.subarray(octets, 2 * octets),
      protection,
      secrets: secretsOf(secret, title, protection),
      seed: hash(fleetSeed, index, 1),
    }
  }
}
