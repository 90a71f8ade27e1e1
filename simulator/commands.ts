import { type CommandResult, commandStatus } from '#gateway/codec/command-result.ts'
import { type Downlink, decodeDownlink } from '#gateway/codec/downlink.ts'
import { dataAccessResult } from '#gateway/codec/results.ts'
import { frameWrapper, unframeWrapper } from '#gateway/codec/wrapper.ts'
import type { SystemTitle } from '#gateway/model.ts'
import { type CosemMeter, cosemMeter } from './cosem-meter.ts'
import type { SimulatedMeter } from './fleet.ts'
import type { MeterSession } from './meter-server.ts'

/** Invocation counters of one meter's key, whoever moves them: its pushes or its associations. -1 before the first. */
export interface MeterCounters {
  current: { sent: number; received: number }
}

/** As whom a client comes: by its service access point. */
export type ClientName = 'management' | 'public'

/** Joins a meter's objects with the server of an association, which is not the simulator's to know. */
export type OpenMeter = (
  meter: SimulatedMeter,
  association: { client: ClientName; objects: CosemMeter; counters: MeterCounters },
) => MeterSession

export interface CommandDeskOptions {
  meters: readonly SimulatedMeter[]
  open: OpenMeter
  /** when the meters began to count, seconds since 1970-01-01T00:00Z, a whole quarter-hour */
  installed: number
  /** by the meters' clocks, seconds since 1970-01-01T00:00Z, not before `installed` */
  now: () => number
  /** the last invocation counter that a meter used: one for its pushes and its answers */
  counter: { last: number }
}

/** Service access points. @see Green Book, reserved SAPs */
const publicClient = 16
/** Associations held open at one time; one more takes the place of the one that was asked longest ago. */
const sessionsMax = 64
/** Commands remembered, so that one that comes again reaches its meter once. */
const rememberedMax = 256

/** A concentrator's side of commands: from a downlink to its meter and back. It knows no socket and no clock. */
export class CommandDesk {
  readonly #options: CommandDeskOptions
  readonly #meters: ReadonlyMap<SystemTitle, SimulatedMeter>
  readonly #sessions = new Map<string, MeterSession>()
  readonly #objects = new Map<SystemTitle, { objects: CosemMeter; received: number }>()
  readonly #taken = new Set<string>()

  constructor(options: CommandDeskOptions) {
    this.#options = options
    this.#meters = new Map(options.meters.map((meter) => [meter.systemTitle, meter]))
  }

  /**
   * @param nowMs by the wall's clock
   * @returns `undefined` for a command that came before
   * @throws PeerError `DOWNLINK_MALFORMED`
   */
  take(octets: Uint8Array, nowMs: number): CommandResult | undefined {
    const downlink = decodeDownlink(octets)
    const { commandId } = downlink
    const name = Buffer.from(commandId).toString('hex')
    if (this.#taken.has(name)) return undefined
    if (this.#taken.size >= rememberedMax) this.#taken.delete(this.#taken.keys().next().value!)
    this.#taken.add(name)
    const told = this.#answer(downlink, nowMs)
    if (typeof told === 'string') return { commandId, status: commandStatus[told], apdu: new Uint8Array() }
    return { commandId, status: commandStatus.done, apdu: told }
  }

  #answer(
    { meter: title, expiresAtMs, framing, apdu }: Downlink,
    nowMs: number,
  ): Uint8Array | keyof typeof commandStatus {
    if (nowMs > expiresAtMs) return 'expired'
    const meter = this.#meters.get(title)
    if (meter === undefined) return 'foreign'
    if (framing !== 'wrapper') return 'unsupported'
    const { payloads } = unframeWrapper(apdu)
    const [payload, ...more] = payloads
    if (payload === undefined || more.length > 0) return 'unsupported'
    const ports = Buffer.from(apdu.buffer, apdu.byteOffset, apdu.length)
    const [source, destination] = [ports.readUInt16BE(2), ports.readUInt16BE(4)]
    const { send } = this.#session(meter, source === publicClient ? 'public' : 'management')(payload.octets)
    return send[0] === undefined ? 'silent' : frameWrapper(send[0], { source: destination, destination: source })
  }

  #session(meter: SimulatedMeter, client: ClientName): MeterSession {
    const name = `${meter.systemTitle} ${client}`
    const session = this.#sessions.get(name) ?? this.#open(meter, client)
    this.#sessions.delete(name)
    if (this.#sessions.size >= sessionsMax) this.#sessions.delete(this.#sessions.keys().next().value!)
    this.#sessions.set(name, session)
    return session
  }

  #open(meter: SimulatedMeter, client: ClientName): MeterSession {
    const { installed, now, counter, open } = this.#options
    const { seed, systemTitle } = meter
    const known = this.#objects.get(systemTitle) ?? {
      objects: cosemMeter({ seed, systemTitle, installed, now }),
      received: -1,
    }
    this.#objects.set(systemTitle, known)
    const counters: MeterCounters = {
      get current() {
        return { sent: counter.last, received: known.received }
      },
      set current({ sent, received }) {
        counter.last = sent
        known.received = received
      },
    }
    return open(meter, { client, objects: client === 'public' ? publicView(known.objects) : known.objects, counters })
  }
}

const publicNames: ReadonlySet<string> = new Set(['0-0:1.0.0', '0-0:42.0.0'])

/** A public client sees the clock and the logical device's name, and no measured value. */
function publicView(objects: CosemMeter): CosemMeter {
  const denied = { kind: 'error', result: dataAccessResult['read-write-denied'] } as const
  return { ...objects, get: (asked) => (publicNames.has(asked.obis) ? objects.get(asked) : denied) }
}
