import { hash } from 'node:crypto'
import { decodeApdu } from './codec/apdu.ts'
import { fits } from './codec/batch.ts'
import { type GeneralBlockTransfer, generalBlockTransferTag, reassemble } from './codec/block.ts'
import { unframe } from './codec/framing.ts'
import type { DataNotification } from './codec/notification.ts'
import { type Ciphered, isCiphered } from './codec/protection.ts'
import { decodeUplink, type MeterFrame, type RefusedFrame, type Uplink } from './codec/uplink.ts'
import { PeerError, type PeerFault } from './errors.ts'
import type { Journaled } from './io/journal-record.ts'
import type { Effects, Ledger } from './io/ledger.ts'
import type { RegisteredMeter } from './io/registry.ts'
import type { MeterId, Obis, Series } from './model.ts'
import { interpret } from './readings/interpret.ts'
import { evidenceOf, profileFor } from './readings/meter-profile.ts'
import { validate } from './readings/validate.ts'
import { keySetOf } from './session/policy.ts'
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
  /** ours, not the peer's: an exception where a fault was due. The frame is quarantined and the operator is told. */
  unhandled: Error[]
}

interface ReadingBatch {
  frames: readonly MeterFrame[]
  refused?: readonly RefusedFrame[]
}

type Known = Pick<Ledger, 'seen' | 'registry' | 'takesChannel'>

/** @param nowSeconds by the gateway's clock */
export function intake(records: readonly Journaled[], ledger: Known, nowSeconds: number): Intake {
  const stretch = new Stretch(ledger, nowSeconds)
  for (const record of records) stretch.take(record)
  return stretch.result
}

class Stretch {
  readonly #ledger: Known
  readonly #nowSeconds: number
  /** of meters that have spoken in this stretch */
  readonly #counters = new Map<RegisteredMeter, number>()
  readonly #uplinks = new Set<string>()
  /** of this stretch, so that its new ones count before they are committed */
  readonly #channels = new Set<Obis>()
  readonly result: Intake

  constructor(ledger: Known, nowSeconds: number) {
    this.#ledger = ledger
    this.#nowSeconds = nowSeconds
    const effects = { position: 0, uplinks: [], counters: [], series: [], quarantine: [] }
    this.result = { effects, readings: 0, repeatedUplinks: 0, heartbeats: 0, unhandled: [] }
  }

  take(record: Journaled): void {
    const { effects } = this.result
    effects.position = record.next
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
    else throw new PeerError('UPLINK_UNSUPPORTED', `${body.kind} is kept, and not yet forwarded`)
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
      for (const series of this.#interpret(this.#open(octets, meter), meter)) {
        this.result.effects.series.push({ meter, series })
        this.result.readings += series.ends.length
      }
    } catch (error) {
      refuse(error)
    }
  }

  /** The counter advances once the tag holds, whatever the content turns out to be. */
  #open(octets: Uint8Array, meter: RegisteredMeter): Uint8Array {
    const lastCounter = this.#counters.get(meter) ?? meter.counter
    const security = { systemTitle: meter.title, ek: meter.ek, ak: meter.ak, lastCounter }
    const { plain, invocationCounter } = unprotect(ciphered(octets), security, meter.policy)
    this.#counters.set(meter, invocationCounter)
    this.result.effects.counters.push({ meter, counter: invocationCounter })
    return plain
  }

  #interpret(plain: Uint8Array, meter: RegisteredMeter): Series[] {
    const notification = decodeApdu(plain)
    if (notification.apdu !== 'data-notification') {
      throw new PeerError('APDU_UNSUPPORTED', `${notification.apdu} inside a ciphered frame is not taken`)
    }
    const all = this.#read(notification, meter)
    if (!all.every(fits))
      throw new PeerError('PUSH_VALUE', 'a value beyond 64 bits, signed, or a time beyond year 9999')
    if (!all.every(({ obis }) => this.#ledger.takesChannel(obis, this.#channels))) {
      throw new PeerError('PUSH_VALUE', 'a channel more than the ledger takes')
    }
    for (const { obis } of all) this.#channels.add(obis)
    return all.map((series) => validate(series, this.#nowSeconds))
  }

  /**
   * With the profile that the registry names; where it names none and the push tells too little alone, with the one that
   * the push itself gives evidence of. Nothing that came before plays a part: a replay reads the same.
   */
  #read(notification: DataNotification, { title, profile }: RegisteredMeter): Series[] {
    if (profile !== undefined) return interpret(notification, title, profile)
    try {
      return interpret(notification, title)
    } catch (fault) {
      if (!(fault instanceof PeerError) || !tellsTooLittle.has(fault.code)) throw fault
      const evidence = evidenceOf(notification, Buffer.from(title, 'hex'))
      const told = profileFor(evidence, [...this.#ledger.registry.profiles.values()])
      if (told === undefined) throw fault
      return interpret(notification, title, told)
    }
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

/**
 * A frame that is not ciphered at all is a downgrade: a concentrator that is broken into must not speak for meters. One
 * under another key than the unicast one has a counter that the registry does not hold, so that it could come again.
 */
function ciphered(octets: Uint8Array): Ciphered {
  const apdu = decodeApdu(octets)
  if (!isCiphered(apdu)) throw new PeerError('SECURITY_DOWNGRADE', `${apdu.apdu} where a ciphered APDU was due`)
  const keySet = keySetOf(apdu)
  if (keySet !== 'unicast') {
    throw new PeerError('SECURITY_CONTROL', `under a key that is ${keySet}: only the unicast key's counter is held`)
  }
  return apdu
}
