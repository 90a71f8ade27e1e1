import { randomBytes } from 'node:crypto'
import { type CommandResult, commandIdOctets } from './codec/command-result.ts'
import { encodeDownlink } from './codec/downlink.ts'
import { frameWrapper } from './codec/wrapper.ts'
import { answerOf, eventOf } from './command-answer.ts'
import {
  type ReadConfig,
  type ReadEvent,
  type ReadOutcome,
  type ReadState,
  type ReadStep,
  readIdle,
  stepRead,
} from './command-read.ts'
import {
  type AssociationName,
  type CommandFault,
  type Failure,
  type ReadAnswer,
  type ReadRequest,
  refusal,
} from './command-request.ts'
import type { CommandStore, Route } from './io/command-store.ts'
import type { RegisteredMeter, Registry } from './io/registry.ts'
import type { ConcentratorId, SystemTitle } from './model.ts'
import type { Counters } from './session/association.ts'
import type { ClientConfig } from './session/association-client.ts'

/**
 * The commands that are under way, in the second thread: it has the meters' keys, the ledger with their counters, and the
 * journal that brings the answers; the first thread has the sessions and hears of octets and names alone. What is under
 * way is not kept: a gateway that ends answers nobody any more, and a result that comes afterwards is quarantined.
 */
export interface CommandsOptions {
  registry: Pick<Registry, 'meter'>
  store: Pick<CommandStore, 'route' | 'store'>
  /** our name as a client of meters, where the registry says no other */
  own: SystemTitle
  /** for the first thread, which says `lost` when it cannot */
  publish: (downlink: Outgoing) => void
  answer: (id: number, answer: ReadAnswer) => void
  /** ours, not the meter's: an exception where a fault was due. The command fails and the operator is told. */
  unhandled: (error: Error) => void
}

/** A publish on a concentrator's command topic. */
export interface Outgoing {
  concentrator: ConcentratorId
  /** of the downlink, as hex */
  commandId: string
  octets: Uint8Array
}

/** Reads under way at one time; each waits for one APDU. */
export const commandLimits = { inAll: 4, ofConcentrator: 2, ofMeter: 1 } as const

/** Fits one IPv6 packet over G3-PLC, whose MTU is 1,280 octets; longer answers come in blocks. @see ITU-T G.9903 */
const receivePduOctetsMax = 1_024
const challengeOctets = 16
/** The highest counter that a command may begin behind: more are left than its APDUs can be, blocks and all. */
const counterMax = 0xffffffff - 0x100000

/** Service access points: management and public client, management logical device. @see Green Book, reserved SAPs */
const clientSap: Record<AssociationName, number> = { gmac: 1, lowest: 16 }
const serverSap = 1

interface Active {
  id: number
  meter: RegisteredMeter
  concentrator: ConcentratorId
  association: AssociationName
  config: ReadConfig
  state: ReadState
  expiresAtMs: number
  deadline: NodeJS.Timeout
  /** of the downlink whose result is due */
  commandId: string | undefined
}

export class Commands {
  readonly #options: CommandsOptions
  readonly #active = new Map<number, Active>()
  /** by the id of the downlink whose result is due */
  readonly #due = new Map<string, Active>()
  #counts = { asked: 0, read: 0, failed: 0 }

  constructor(options: CommandsOptions) {
    this.#options = options
  }

  /** Since the start; `underWay` now. */
  get status(): { underWay: number; asked: number; read: number; failed: number } {
    return { underWay: this.#active.size, ...this.#counts }
  }

  /** Answers, now or later, exactly once. */
  ask(id: number, request: ReadRequest): void {
    this.#counts.asked++
    const found = this.#find(request)
    if ('code' in found) {
      this.#answer(id, refusal(found.code, found.detail))
      return
    }
    const { meter, route, client } = found
    const active: Active = {
      id,
      meter,
      concentrator: route.concentrator,
      association: request.association,
      config: { client, wanted: request },
      state: readIdle,
      expiresAtMs: Date.now() + request.timeoutMs,
      deadline: setTimeout(() => this.#late(id), request.timeoutMs),
      commandId: undefined,
    }
    this.#active.set(id, active)
    const counters = { sent: route.sent, received: meter.counter }
    this.#step(active, { kind: 'begin', challenge: randomBytes(challengeOctets), counters })
  }

  /** Whoever asked is gone. */
  cancel(id: number): void {
    const active = this.#active.get(id)
    if (active !== undefined) this.#remove(active)
  }

  /** The first thread could not publish it: the concentrator has no session that takes commands. */
  undeliverable(commandId: string): void {
    const active = this.#due.get(commandId)
    if (active === undefined) return
    const detail = `${active.concentrator} has no session that takes commands`
    this.#step(active, { kind: 'lost', code: 'CONCENTRATOR_OFFLINE', detail })
  }

  /** Why a result is not waited for; `undefined` where it is. */
  refusal(concentrator: ConcentratorId, commandId: Uint8Array): string | undefined {
    const active = this.#due.get(hex(commandId))
    if (active === undefined) return 'no command waits for it: late, repeated or never sent'
    return active.concentrator === concentrator ? undefined : `it answers a command to ${active.concentrator}`
  }

  /** A result that `refusal` had nothing against; it is in the journal and committed. */
  take({ commandId, status, apdu }: CommandResult): void {
    const active = this.#due.get(hex(commandId))
    if (active === undefined) return
    this.#due.delete(hex(commandId))
    this.#step(active, eventOf(status, apdu))
  }

  /** The gateway ends: whoever waits is told. */
  end(): void {
    for (const { id, ...active } of [...this.#active.values()]) {
      this.#remove({ id, ...active })
      this.#answer(id, refusal('GATEWAY_ENDING', 'the gateway is ending'))
    }
  }

  #find({ meter: title, association }: ReadRequest): Found | Failure {
    const { registry, store, own } = this.#options
    const meter = registry.meter(title)
    if (meter === undefined) return fault('METER_UNKNOWN', 'no meter of that system title is registered')
    const route = store.route(meter)
    if (route === undefined) return fault('CONCENTRATOR_UNKNOWN', 'no concentrator has brought anything of it yet')
    if (route.sent >= counterMax)
      return fault('KEY_EXHAUSTED', 'hardly an invocation counter is left: it needs new keys')
    return this.#limit(meter, route.concentrator) ?? { meter, route, client: clientOf(meter, own, association) }
  }

  #limit({ id }: RegisteredMeter, concentrator: ConcentratorId): Failure | undefined {
    const all = [...this.#active.values()]
    const { inAll, ofConcentrator, ofMeter } = commandLimits
    if (all.filter(({ meter }) => meter.id === id).length >= ofMeter) {
      return fault('COMMAND_LIMIT', 'it is being read already')
    }
    if (all.filter((one) => one.concentrator === concentrator).length >= ofConcentrator) {
      return fault('COMMAND_LIMIT', `${ofConcentrator} commands are under way at ${concentrator}`)
    }
    return all.length >= inAll ? fault('COMMAND_LIMIT', `${inAll} commands are under way`) : undefined
  }

  #late(id: number): void {
    const active = this.#active.get(id)
    if (active !== undefined) this.#step(active, fault('COMMAND_EXPIRED', 'no answer in the time that was given'))
  }

  /** Effects in their order: a counter is durable before what was made with it leaves. */
  #step(active: Active, event: ReadEvent | Failure): void {
    const { state, effects } = this.#decide(active, 'kind' in event ? event : { kind: 'lost', ...event })
    active.state = state
    for (const effect of effects) {
      if (effect.kind === 'store') this.#store(active, effect.counters)
      else if (effect.kind === 'send') this.#send(active, effect.octets)
      else this.#done(active, effect.outcome)
    }
  }

  /** What a meter answers must not stop everyone's commands, nor the readings beside them. */
  #decide({ config, state }: Active, event: ReadEvent): ReadStep {
    try {
      return stepRead(config, state, event)
    } catch (error) {
      this.#options.unhandled(error as Error)
      return { state, effects: [{ kind: 'done', outcome: { kind: 'failed', ...fault('UNHANDLED', 'see the log') } }] }
    }
  }

  #store({ meter }: Active, counters: Counters): void {
    const { registry, store } = this.#options
    store.store(registry.meter(meter.title) ?? meter, counters) // the one that pushes are opened with
  }

  #send(active: Active, apdu: Uint8Array): void {
    const id = randomBytes(commandIdOctets)
    active.commandId = hex(id)
    this.#due.set(active.commandId, active)
    const { concentrator, expiresAtMs, meter, association } = active
    const framed = frameWrapper(apdu, { source: clientSap[association], destination: serverSap })
    const octets = encodeDownlink({ commandId: id, expiresAtMs, meter: meter.title, framing: 'wrapper', apdu: framed })
    this.#options.publish({ concentrator, commandId: active.commandId, octets })
  }

  #done(active: Active, outcome: ReadOutcome): void {
    this.#remove(active)
    this.#answer(active.id, answerOf(active, outcome))
  }

  #remove({ id, deadline, commandId }: Active): void {
    clearTimeout(deadline)
    this.#active.delete(id)
    if (commandId !== undefined) this.#due.delete(commandId)
  }

  #answer(id: number, answer: ReadAnswer): void {
    this.#counts[answer.ok ? 'read' : 'failed']++
    this.#options.answer(id, answer)
  }
}

interface Found {
  meter: RegisteredMeter
  route: Route
  client: ClientConfig
}

function fault(code: CommandFault, detail: string): Failure {
  return { code, detail }
}

/**
 * A meter with keys is asked under them, HLS 5 and every APDU ciphered, so that its concentrator reads nothing of it; unless
 * its public client is asked for. A password for low level security the registry does not hold.
 */
function clientOf(
  { title, ek, ak, policy, layered }: RegisteredMeter,
  own: SystemTitle,
  name: AssociationName,
): ClientConfig {
  if (name === 'lowest') return { authentication: { mechanism: 'lowest' }, receivePduOctetsMax }
  const [suite = 0] = policy.suites
  const keys = { own: layered?.own ?? own, peer: title, suite, ek, ak }
  return {
    authentication: { mechanism: 'high-gmac', ...keys },
    ciphering: { ...keys, protection: 'authenticated-encrypted' },
    receivePduOctetsMax,
  }
}

function hex(octets: Uint8Array): string {
  return Buffer.from(octets.buffer, octets.byteOffset, octets.length).toString('hex')
}
