import { hash } from 'node:crypto'
import { type Apdu, decodeApdu } from './codec/apdu.ts'
import { fits } from './codec/batch.ts'
import { type GeneralBlockTransfer, generalBlockTransferTag, reassemble } from './codec/block.ts'
import type { CommandResult } from './codec/command-result.ts'
import { unframe } from './codec/framing.ts'
import type { DataNotification, Dialect } from './codec/notification.ts'
import { isCiphered } from './codec/protection.ts'
import { decodeUplink, type MeterFrame, type RefusedFrame, type Uplink } from './codec/uplink.ts'
import { PeerError, type PeerFault } from './errors.ts'
import { type LayeredMeter, openLayers } from './intake-layers.ts'
import type { Journaled } from './io/journal-record.ts'
import type { Effects, Ledger } from './io/ledger.ts'
import { type Counters, counterNames } from './io/meter-keys.ts'
import type { RegisteredMeter } from './io/registry.ts'
import type { ConcentratorId, MeterId, Obis, Series } from './model.ts'
import { interpret, interpretObjects } from './readings/interpret.ts'
import { KnownPushes } from './readings/known-pushes.ts'
import { evidenceOf, type MeterProfile, namedList, profileFor } from './readings/meter-profile.ts'
import { isTelegram } from './readings/telegram.ts'
import { interpretTelegram } from './readings/telegram-readings.ts'
import { isUrgent } from './readings/urgent.ts'
import { validate } from './readings/validate.ts'
import { unprotect } from './session/unprotect.ts'

/**
 * A stretch of the journal into what it asks of the ledger: open, decode, validate. What fails is quarantined with its
 * code and its neighbours go on. Nothing takes effect here: the ledger commits all of it at once.
 */
export interface Intake {
  effects: Effects
  /** readings that came, before the ledger tells repeats */
  readings: number
  /** uplinks that were taken before and came again */
  repeatedUplinks: number
  heartbeats: number
  /** answers to commands that wait for them: to be handed over once the stretch is committed */
  commandResults: CommandResult[]
  /** departures from the standard that were read through, in the order they came */
  dialects: SpokenDialect[]
  /** ours, not the peer's: an exception where a fault was due. The frame is quarantined and the operator is told. */
  unhandled: Error[]
}

/** `positional`: no value has a name, its place tells what it is. */
export interface SpokenDialect {
  meter: RegisteredMeter
  dialect: Dialect | 'positional'
}

interface ReadingBatch {
  frames: readonly MeterFrame[]
  refused?: readonly RefusedFrame[]
}

type Known = Pick<Ledger, 'seen' | 'registry' | 'takesChannel'>

/** Why nobody waits for a command's result from this concentrator; `undefined` where somebody does. */
export type Refusal = (concentrator: ConcentratorId, commandId: Uint8Array) => string | undefined

/** Of all concentrators: what is known of one meter's pushes serves for all that push the same. */
const knownPushes = new KnownPushes()

const noCommands: Refusal = () => 'there are no commands'

/** @param nowSeconds by the gateway's clock */
export function intake(
  records: readonly Journaled[],
  ledger: Known,
  nowSeconds: number,
  refusal: Refusal = noCommands,
): Intake {
  const stretch = new Stretch(ledger, nowSeconds, refusal)
  for (const record of records) stretch.take(record)
  return stretch.result
}

class Stretch {
  readonly #ledger: Known
  readonly #nowSeconds: number
  readonly #refusal: Refusal
  /** commands that this stretch has answered, as hex */
  readonly #answered = new Set<string>()
  /** whose record it is */
  #from = '' as ConcentratorId
  /** of meters that have spoken in this stretch */
  readonly #counters = new Map<RegisteredMeter, number>()
  /** of those among them whose lines name forms */
  readonly #layeredCounters = new Map<RegisteredMeter, Counters>()
  readonly #uplinks = new Set<string>()
  /** of this stretch, so that its new ones count before they are committed */
  readonly #channels = new Set<Obis>()
  readonly result: Intake

  constructor(ledger: Known, nowSeconds: number, refusal: Refusal) {
    this.#ledger = ledger
    this.#refusal = refusal
    this.#nowSeconds = nowSeconds
    const effects = { position: 0, uplinks: [], counters: [], heard: [], series: [], quarantine: [] }
    this.result = {
      effects,
      readings: 0,
      repeatedUplinks: 0,
      heartbeats: 0,
      commandResults: [],
      dialects: [],
      unhandled: [],
    }
  }

  take(record: Journaled): void {
    const { effects } = this.result
    effects.position = record.next
    this.#from = record.concentrator
    const digest = hash('sha256', record.payload, 'buffer').subarray(0, 16)
    try {
      const uplink = decodeUplink(record.payload)
      if (uplink.concentrator !== record.concentrator) {
        throw new PeerError('UPLINK_IDENTITY', 'the envelope names another concentrator than the certificate')
      }
      if (this.#isRepeat(uplink, digest)) {
        this.result.repeatedUplinks++
        return
      }
      effects.uplinks.push({ concentrator: uplink.concentrator, sequence: uplink.sequence, digest })
      this.#body(uplink, record)
    } catch (error) {
      this.#quarantine(error, record, { meter: undefined, octets: record.payload })
    }
  }

  #isRepeat({ concentrator, sequence }: Uplink, digest: Uint8Array): boolean {
    const name = `${concentrator}/${sequence}/${Buffer.from(digest).toString('hex')}`
    if (this.#uplinks.has(name) || this.#ledger.seen(concentrator, sequence, digest)) return true
    this.#uplinks.add(name)
    return false
  }

  #body({ body }: Uplink, record: Journaled): void {
    if (body.kind === 'reading-batch') this.#batch(body, record)
    else if (body.kind === 'heartbeat') this.result.heartbeats++
    else if (body.kind === 'command-result') this.#commandResult(body)
    else throw new PeerError('UPLINK_UNSUPPORTED', `${body.kind} is kept, and not yet forwarded`)
  }

  /** The first answer counts, and from the concentrator that was told. */
  #commandResult(result: CommandResult): void {
    const id = Buffer.from(result.commandId).toString('hex')
    const refusal = this.#answered.has(id) ? 'it was answered before' : this.#refusal(this.#from, result.commandId)
    if (refusal !== undefined) throw new PeerError('COMMAND_UNKNOWN', refusal)
    this.#answered.add(id)
    this.result.commandResults.push(result)
  }

  #batch({ frames, refused = [] }: ReadingBatch, record: Journaled): void {
    for (const frame of frames) this.#frame(frame, record)
    for (const { fault, octets } of refused) this.#quarantine(fault, record, { meter: undefined, octets })
  }

  /** What one frame holds; each of its APDUs stands for itself. */
  #frame(frame: MeterFrame, record: Journaled): void {
    const refuse = (error: unknown): void =>
      this.#quarantine(error, record, { meter: frame.systemTitle, octets: frame.apdu })
    try {
      const meter = this.#ledger.registry.meter(frame.systemTitle)
      if (meter === undefined) throw new PeerError('METER_UNKNOWN', 'no meter of that system title is registered')
      const { apdus, faults } = apdusOf(frame)
      if (faults.length > 0) refuse(faults[0])
      for (const octets of apdus) this.#apdu(octets, meter, refuse)
    } catch (error) {
      refuse(error)
    }
  }

  #apdu(octets: Uint8Array, meter: RegisteredMeter, refuse: (error: unknown) => void): void {
    try {
      const plain = this.#open(octets, meter)
      this.result.effects.heard.push({ meter, concentrator: this.#from })
      for (const series of this.#interpret(plain, meter)) {
        this.result.effects.series.push({ meter, series, urgent: isUrgent(plain, series.obis) })
        this.result.readings += series.ends.length
      }
    } catch (error) {
      refuse(error)
    }
  }

  /** The counter advances once the tag holds, whatever the content turns out to be. */
  #open(octets: Uint8Array, meter: RegisteredMeter): Uint8Array {
    if (isLayered(meter)) return this.#openLayers(octets, meter)
    const apdu = decodeApdu(octets)
    if (!isCiphered(apdu)) throw unciphered(apdu)
    const lastCounter = this.#counters.get(meter) ?? meter.counter
    const security = { systemTitle: meter.title, ek: meter.ek, ak: meter.ak, lastCounter }
    const { plain, invocationCounter } = unprotect(apdu, security, meter.policy)
    this.#counters.set(meter, invocationCounter)
    this.result.effects.counters.push({ meter, counter: invocationCounter })
    return plain
  }

  #openLayers(octets: Uint8Array, meter: LayeredMeter): Uint8Array {
    const known = { ...meter.layered.counters, unicast: BigInt(meter.counter) }
    const before = this.#layeredCounters.get(meter) ?? known
    const { plain, counters } = openLayers(octets, meter, before)
    this.#layeredCounters.set(meter, counters)
    for (const name of counterNames) {
      if (counters[name] === before[name]) continue
      const value = counters[name]
      this.result.effects.counters.push(name === 'unicast' ? { meter, counter: Number(value) } : { meter, name, value })
    }
    return plain
  }

  #interpret(plain: Uint8Array, meter: RegisteredMeter): Series[] {
    const all = isTelegram(plain) ? interpretTelegram(plain, meter.title, meter.profile) : this.#readings(plain, meter)
    if (!all.every(fits))
      throw new PeerError('PUSH_VALUE', 'a value beyond 64 bits, signed, or a time beyond year 9999')
    if (!all.every(({ obis }) => this.#ledger.takesChannel(obis, this.#channels))) {
      throw new PeerError('PUSH_VALUE', 'a channel more than the ledger takes')
    }
    for (const { obis } of all) this.#channels.add(obis)
    return all.map((series) => validate(series, this.#nowSeconds))
  }

  /** A push that differs from one before in its rows alone need not be decoded whole. */
  #readings(plain: Uint8Array, meter: RegisteredMeter): Series[] {
    const known = knownPushes.read(plain, { meter: meter.title, profile: meter.profile })
    if (known !== undefined) return known
    const apdu = decodeApdu(plain)
    const series = this.#seriesOf(apdu, meter)
    if (apdu.apdu === 'data-notification') knownPushes.learn(plain, apdu, meter.profile)
    return series
  }

  /** An event-notification tells one attribute; glo-* and ded-* have no place for a data-notification. */
  #seriesOf(apdu: Apdu, meter: RegisteredMeter): Series[] {
    if (apdu.apdu === 'data-notification') return this.#read(apdu, meter)
    if (apdu.apdu !== 'event-notification') {
      throw new PeerError('APDU_UNSUPPORTED', `${apdu.apdu} inside a ciphered frame is not taken`)
    }
    const object = { ...apdu.attribute, data: apdu.data }
    return interpretObjects([object], apdu.time, { meter: meter.title, profile: meter.profile })
  }

  /**
   * With the profile that the registry names; where it names none and the push tells too little alone, with the one that
   * the push itself gives evidence of. Nothing that came before plays a part: a replay reads the same.
   */
  #read(notification: DataNotification, meter: RegisteredMeter): Series[] {
    const { title, profile } = meter
    if (profile !== undefined) return this.#told(notification, meter, profile)
    try {
      return this.#told(notification, meter)
    } catch (fault) {
      if (!(fault instanceof PeerError) || !tellsTooLittle.has(fault.code)) throw fault
      const evidence = evidenceOf(notification, Buffer.from(title, 'hex'))
      const told = profileFor(evidence, [...this.#ledger.registry.profiles.values()])
      if (told === undefined) throw fault
      return this.#told(notification, meter, told)
    }
  }

  /** Readings, and the dialects that had to be understood for them. */
  #told(notification: DataNotification, meter: RegisteredMeter, profile?: MeterProfile): Series[] {
    const series = interpret(notification, meter.title, profile)
    for (const dialect of notification.dialects) this.result.dialects.push({ meter, dialect })
    const isPositional = profile !== undefined && namedList(profile, notification.body) !== undefined
    if (isPositional) this.result.dialects.push({ meter, dialect: 'positional' })
    return series
  }

  #quarantine(error: unknown, record: Journaled, what: { meter: MeterId | undefined; octets: Uint8Array }): void {
    if (!(error instanceof PeerError)) this.result.unhandled.push(error as Error)
    const [code, detail] =
      error instanceof PeerError ? [error.code, error.message] : (['UNHANDLED', 'see the log'] as const)
    const { concentrator, receivedAtMs: atMs } = record
    this.result.effects.quarantine.push({ atMs, concentrator, code, detail, ...what })
  }
}

/** The APDUs in a frame, blocks put together; and why part of it gave none. */
function apdusOf({ apdu, framing }: MeterFrame): { apdus: Uint8Array[]; faults: PeerError[] } {
  const { payloads, faults } = unframe(apdu, framing)
  const isBlock = ({ octets }: { octets: Uint8Array }): boolean => octets[0] === generalBlockTransferTag
  const whole = payloads.filter((payload) => !isBlock(payload)).map(({ octets }) => octets)
  const blocks = payloads.filter(isBlock).map(({ octets }) => decodeApdu(octets) as GeneralBlockTransfer)
  return { apdus: [...whole, ...reassemble(blocks)], faults }
}

/** Why a push cannot be read alone, and perhaps can with a profile. */
const tellsTooLittle: ReadonlySet<PeerFault> = new Set(['PUSH_FORM', 'PUSH_TIME', 'PUSH_VALUE'])

/** A frame that is not ciphered at all is a downgrade: a concentrator that is broken into must not speak for meters. */
function unciphered({ apdu }: Apdu): PeerError {
  if (apdu === 'general-signing') return new PeerError('SECURITY_SERVICE', 'general-signing is not taken')
  return new PeerError('SECURITY_DOWNGRADE', `${apdu} where a ciphered APDU was due`)
}

function isLayered(meter: RegisteredMeter): meter is LayeredMeter {
  return meter.layered !== undefined
}
