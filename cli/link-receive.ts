import { createSocket, type Socket } from 'node:dgram'
import { readFileSync } from 'node:fs'
import { isIPv6 } from 'node:net'
import { dirname, resolve } from 'node:path'
import { addressOf, conduit, loopback, parseZones } from '#dmz-config/zones.ts'
import { ConfigError, PeerError, type PeerFault } from '#gateway/errors.ts'
import { readLinkKey } from '#gateway/io/keys.ts'
import type { LinkKey } from '#gateway/oneway/mac.ts'
import { type ProbeResult, ProbeTally, readProbe } from '#gateway/oneway/probe.ts'
import { parseMdmConfig } from '#mdm/config.ts'
import { decimalNumber, parse, UsageError, wholeNumber } from './command.ts'
import { untilSignal } from './signals.ts'
import { endpoint } from './simulate-link.ts'

const options = {
  config: { type: 'string' },
  listen: { type: 'string' },
  'key-file': { type: 'string' },
  'key-id': { type: 'string', default: '0' },
  buffer: { type: 'string', default: '4194304' },
  'loss-limit': { type: 'string', default: '0.1' },
  wait: { type: 'string', default: '60' },
  json: { type: 'boolean', default: false },
} as const

type Values = ReturnType<typeof parse<typeof options>>['values']

interface Place {
  host: string
  port: number
  keys: readonly LinkKey[]
  bufferOctets: number
}

/** Without a datagram, once begun: the sender is gone. */
const silenceMs = 10_000
/** Once over: what still comes must not meet a closed port, whose ICMP errors would go the other way. */
const lingerMs = 500
/** The kernel's count is read this often. */
const sampleMs = 50
/** Steps of a minute and the pauses between: no run is longer. */
const runMsMax = 2 * 3_600_000

/** @throws UsageError, ConfigError */
export async function receiveProbe(args: readonly string[]): Promise<number> {
  const { values, positionals } = parse(args, options)
  if (positionals.length > 0) throw new UsageError(`link probe receive: no argument '${positionals[0]}'`)
  const lossLimit = decimalNumber('loss-limit', values['loss-limit'], [0, 100]) / 100
  const waitMs = wholeNumber('wait', values.wait, [1, 3_600]) * 1000
  const asked = untilSignal()
  const receiver = new ProbeReceiver(placeOf(values))
  const bufferOctets = await receiver.listen()
  if (!values.json) process.stderr.write(`listening on ${receiver.name}, receive buffer ${bufferOctets} octets\n`)
  await Promise.race([receiver.over(waitMs), asked])
  await receiver.close()
  const result = {
    ...receiver.tally.result(lossLimit),
    bufferOctets,
    refused: receiver.refused,
    foreign: receiver.tally.foreign,
  }
  process.stdout.write(values.json ? `${JSON.stringify(result)}\n` : textOf(result, receiver.tally.begun, lossLimit))
  return result.kneeMbit === undefined ? 1 : 0
}

/** @throws UsageError, ConfigError */
function placeOf(values: Values): Place {
  if ((values.config === undefined) === (values.listen === undefined)) {
    throw new UsageError('link probe receive: --config FILE, or --listen ADDRESS:PORT with --key-file FILE')
  }
  if (values.config !== undefined) return configured(values.config)
  if (values['key-file'] === undefined) throw new UsageError('link probe receive: --listen needs --key-file FILE')
  const key = readLinkKey({ id: wholeNumber('key-id', values['key-id'], [0, 15]), file: values['key-file'] })
  const bufferOctets = wholeNumber('buffer', values.buffer, [65_536, 1_073_741_824])
  return { ...endpoint('listen', values.listen!), keys: [key], bufferOctets }
}

/** @throws ConfigError */
function configured(file: string): Place {
  const config = parseMdmConfig(read(file), dirname(resolve(file)))
  const drawn = parseZones(read(config.zonesFile))
  const zones = config.loopback === undefined ? drawn : loopback(drawn, config.loopback)
  const { port } = conduit(zones, 'oneway')
  const keys = config.linkKeys.map(readLinkKey)
  return { host: addressOf(zones, 'mdm'), port, keys, bufferOctets: config.receiveBufferOctets }
}

/** @throws ConfigError */
function read(file: string): string {
  try {
    return readFileSync(file, 'utf8')
  } catch (error) {
    throw new ConfigError([`cannot read ${file} (${(error as NodeJS.ErrnoException).code})`])
  }
}

/** A socket that only receives, and the kernel's count of what it could not keep. */
class ProbeReceiver {
  readonly tally = new ProbeTally()
  readonly refused: Partial<Record<PeerFault, number>> = {}
  readonly #place: Place
  readonly #socket: Socket
  #dropped = 0
  #heardAtMs = 0

  constructor(place: Place) {
    this.#place = place
    this.#socket = createSocket({ type: isIPv6(place.host) ? 'udp6' : 'udp4' })
    this.#socket.on('message', (octets) => this.#take(octets))
  }

  get name(): string {
    const { address, port } = this.#socket.address()
    return isIPv6(address) ? `[${address}]:${port}` : `${address}:${port}`
  }

  /** @returns octets of the receive buffer that the kernel gives @throws ConfigError */
  async listen(): Promise<number> {
    const { host, port, bufferOctets } = this.#place
    const { promise, resolve, reject } = Promise.withResolvers<void>()
    this.#socket.once('error', reject)
    this.#socket.bind({ address: host, port, exclusive: true }, resolve)
    await promise.catch(({ code }: NodeJS.ErrnoException) => {
      throw new ConfigError([`cannot listen on ${host}, UDP port ${port} (${code}): is the receiver running?`])
    })
    this.#socket.setRecvBufferSize(bufferOctets)
    return this.#socket.getRecvBufferSize() / 2 // Linux tells twice what it gives
  }

  /** Resolves when the run is over, its sender silent, or nothing came in `waitMs`. */
  over(waitMs: number): Promise<void> {
    const began = performance.now()
    return new Promise((resolve) => {
      const timer = setInterval(() => {
        this.#sample()
        const now = performance.now()
        const patienceMs = this.tally.complete ? lingerMs : silenceMs
        const late = this.tally.begun ? now - this.#heardAtMs > patienceMs : now - began > waitMs
        if (!late && now - began < waitMs + runMsMax) return
        clearInterval(timer)
        resolve()
      }, sampleMs)
    })
  }

  async close(): Promise<void> {
    this.#sample()
    await new Promise<void>((resolve) => this.#socket.close(resolve))
  }

  #take(octets: Buffer): void {
    try {
      const mark = readProbe(octets, this.#place.keys)
      this.#heardAtMs = performance.now()
      this.tally.take(mark, octets.length)
    } catch (error) {
      if (!(error instanceof PeerError)) throw error
      this.refused[error.code] = (this.refused[error.code] ?? 0) + 1
    }
  }

  #sample(): void {
    const { address, port } = this.#socket.address()
    const dropped = kernelDrops(isIPv6(address), port)
    this.tally.dropped(dropped - this.#dropped)
    this.#dropped = dropped
  }
}

/** Of the sockets on a port; 0 where the kernel does not tell. @see proc(5), /proc/net/udp: the last column */
function kernelDrops(version6: boolean, port: number): number {
  let text: string
  try {
    text = readFileSync(version6 ? '/proc/net/udp6' : '/proc/net/udp', 'utf8')
  } catch {
    return 0 // not Linux
  }
  const ending = `:${port.toString(16).toUpperCase().padStart(4, '0')}`
  const rows = text
    .split('\n')
    .slice(1)
    .map((line) => line.trim().split(/\s+/))
  return rows.filter((row) => row[1]?.endsWith(ending)).reduce((sum, row) => sum + Number(row.at(-1)), 0)
}

function textOf(
  {
    run,
    datagramOctets,
    complete,
    steps,
    kneeMbit,
    refused,
    foreign,
  }: ProbeResult & { refused: object; foreign: number },
  begun: boolean,
  lossLimit: number,
): string {
  if (!begun) return `nothing came${Object.keys(refused).length === 0 ? '' : `; refused: ${JSON.stringify(refused)}`}\n`
  const cells = steps.map(({ mbit, sentMbit, sent, received, loss, kernelDrops }) =>
    [mbit.toFixed(1), sentMbit?.toFixed(1) ?? '-', sent, received, (loss * 100).toFixed(3), kernelDrops].map(String),
  )
  const head = ['Mbit/s', 'left', 'sent', 'received', 'loss %', 'kernel drops']
  const rows = [head, ...cells].map((row) => `${row.map((cell) => cell.padStart(14)).join('')}\n`)
  const over = complete ? '' : ', which was not heard to its end'
  const others =
    Object.keys(refused).length === 0 && foreign === 0
      ? ''
      : `refused ${JSON.stringify(refused)}, of other runs ${foreign}\n`
  const held = steps.every(({ loss }) => loss <= lossLimit) ? ', and no step lost more: it may be higher' : ''
  const knee =
    kneeMbit === undefined
      ? 'no knee: the first step lost more than that'
      : `knee: ${kneeMbit.toFixed(1)} Mbit/s${held}`
  return `run ${run}, datagrams of ${datagramOctets} octets${over}\n${rows.join('')}${others}at most ${lossLimit * 100} % lost: ${knee}\n`
}
