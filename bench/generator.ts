import { randomBytes } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { cpuSeconds, serve } from './child.ts'
import { type Endpoint, encodePublish, type LeanSession, openSessions, windowMax } from './session.ts'

/** The load generator: one process, sessions to each broker, and the same octets to both. */
export type GeneratorRequest =
  | { kind: 'connect'; broker: string; ids: string[]; endpoint: Endpoint }
  | { kind: 'run'; broker: string; octets: number; warmSeconds: number; seconds: number; serverPid: number }

export interface MessageRun {
  /** messages acknowledged within the window */
  messages: number
  /** and before and after it too */
  messagesInAll: number
  seconds: number
  serverCpuSeconds: number
  generatorCpuSeconds: number
}

/** How long the last PUBACKs of a run may take. */
const drainMsMax = 30_000

/** A session's window of packets, sent round and round: message ids are free again by the time their turn comes. */
class Lane {
  readonly #session: LeanSession
  readonly #packets: Buffer
  readonly #packetOctets: number
  #next = 0
  #owed = windowMax
  inFlight = 0
  acknowledged = 0

  constructor(session: LeanSession, octets: number) {
    this.#session = session
    const payload = randomBytes(octets)
    this.#packets = Buffer.concat(
      Array.from({ length: windowMax }, (_, i) => encodePublish(session.id, payload, i + 1)),
    )
    this.#packetOctets = this.#packets.length / windowMax
  }

  listen(onOwed: (lane: Lane) => void): void {
    this.#session.onAcknowledged((count) => {
      this.acknowledged += count
      this.inFlight -= count
      if (this.#owed === 0) onOwed(this)
      this.#owed += count
    })
  }

  /** As many packets as were acknowledged, in one write or two. */
  send(): void {
    this.inFlight += this.#owed
    while (this.#owed > 0) {
      const count = Math.min(this.#owed, windowMax - this.#next)
      this.#session.write(
        this.#packets.subarray(this.#next * this.#packetOctets, (this.#next + count) * this.#packetOctets),
      )
      this.#next = (this.#next + count) % windowMax
      this.#owed -= count
    }
  }
}

const brokers = new Map<string, LeanSession[]>()

/** Full windows all the time; what is counted begins after the warm-up and ends before the windows run empty. */
async function run(request: Extract<GeneratorRequest, { kind: 'run' }>): Promise<MessageRun> {
  const { broker, octets, warmSeconds, seconds, serverPid } = request
  const lanes = brokers.get(broker)!.map((session) => new Lane(session, octets))
  const owed: Lane[] = []
  let stopped = false
  const flush = (): void => {
    if (!stopped) for (const lane of owed.splice(0)) lane.send()
  }
  for (const lane of lanes) {
    lane.listen((one) => {
      if (owed.push(one) === 1) setImmediate(flush) // PUBACKs that come one by one are answered together
    })
    lane.send()
  }
  await sleep(warmSeconds * 1000)
  const before = reading(lanes, serverPid)
  await sleep(seconds * 1000)
  const after = reading(lanes, serverPid)
  stopped = true
  await drained(lanes)
  return {
    messages: after.acknowledged - before.acknowledged,
    messagesInAll: lanes.reduce((sum, { acknowledged }) => sum + acknowledged, 0),
    seconds: after.at - before.at,
    serverCpuSeconds: after.server - before.server,
    generatorCpuSeconds: after.own - before.own,
  }
}

function reading(lanes: readonly Lane[], serverPid: number) {
  const { user, system } = process.cpuUsage()
  return {
    at: performance.now() / 1000,
    acknowledged: lanes.reduce((sum, { acknowledged }) => sum + acknowledged, 0),
    server: cpuSeconds(serverPid),
    own: (user + system) / 1e6,
  }
}

/** @throws Error when an acknowledgement stays out */
async function drained(lanes: readonly Lane[]): Promise<void> {
  const until = performance.now() + drainMsMax
  while (lanes.some(({ inFlight }) => inFlight !== 0)) {
    if (performance.now() > until) throw new Error('the broker left publishes without their PUBACK')
    await sleep(5)
  }
}

serve<GeneratorRequest>(async (request) => {
  if (request.kind === 'run') return await run(request)
  brokers.set(request.broker, await openSessions(request.ids, request.endpoint))
  return {}
})
