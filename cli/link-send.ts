import { randomBytes } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { isIPv6 } from 'node:net'
import { dirname, resolve } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { addressOf, conduit, loopback, parseZones } from '#dmz-config/zones.ts'
import { parseGatewayConfig } from '#gateway/config.ts'
import { ConfigError } from '#gateway/errors.ts'
import { readLinkKey } from '#gateway/io/keys.ts'
import { openSender, type Sender, sendingMax } from '#gateway/io/sender.ts'
import type { LinkKey } from '#gateway/oneway/mac.ts'
import {
  probeNumbersMax,
  probeOctetsMax,
  probeOctetsMin,
  probeRates,
  type StepSent,
  writeProbe,
} from '#gateway/oneway/probe.ts'
import { Pace } from '#gateway/oneway/schedule.ts'
import { decimalNumber, parse, UsageError, wholeNumber } from './command.ts'
import { endpoint } from './simulate-link.ts'

const options = {
  config: { type: 'string' },
  to: { type: 'string' },
  from: { type: 'string' },
  'key-file': { type: 'string' },
  'key-id': { type: 'string', default: '0' },
  'from-mbit': { type: 'string', default: '10' },
  'to-mbit': { type: 'string', default: '200' },
  step: { type: 'string', default: '10' },
  seconds: { type: 'string', default: '2' },
  octets: { type: 'string' },
  json: { type: 'boolean', default: false },
} as const

type Values = ReturnType<typeof parse<typeof options>>['values']

interface Target {
  host: string
  port: number
  from: string
  key: LinkKey
  datagramOctets: number
}

/** As the forwarder's: the receiver's buffer meets the same bursts. */
const burstOctetsMax = 131_072
const turnMs = 1
/** Between two steps, so that what the receiver's kernel drops is seen under the step that overran it. */
const settleMs = 250
/** The end is said this often, as far apart. */
const [closings, closingMs] = [20, 50]
const mbitMax = 100_000

/** @throws UsageError, ConfigError */
export async function sendProbe(args: readonly string[]): Promise<number> {
  const { values, positionals } = parse(args, options)
  if (positionals.length > 0) throw new UsageError(`link probe send: no argument '${positionals[0]}'`)
  const target = targetOf(values)
  const rates = ratesOf(values)
  const ms = decimalNumber('seconds', values.seconds, [0.1, 60]) * 1000
  const octets = wholeNumber('octets', values.octets ?? String(target.datagramOctets), [1, probeOctetsMax])
  if (octets < probeOctetsMin(rates.length)) {
    throw new UsageError(`--octets: at least ${probeOctetsMin(rates.length)} for ${rates.length} steps`)
  }
  const sender = openSender(target)
  const run = new ProbeRun({ sender, key: target.key, octets, rates })
  const sent = await run.go(ms)
  await sender.close()
  process.stdout.write(
    values.json
      ? `${JSON.stringify({ run: run.name, datagramOctets: octets, steps: sent, faults: sender.faults })}\n`
      : textOf(run.name, octets, sent, sender),
  )
  return sender.faults === 0 ? 0 : 1
}

/** @throws UsageError */
function ratesOf(values: Values): number[] {
  const kbit = (name: 'from-mbit' | 'to-mbit' | 'step'): number =>
    Math.round(decimalNumber(name, values[name], [0.001, mbitMax]) * 1000)
  const rates = probeRates({ from: kbit('from-mbit'), to: kbit('to-mbit'), step: kbit('step') })
  if (rates === undefined) throw new UsageError('--from-mbit, --to-mbit, --step: 1 to 100 steps, rising')
  return rates
}

/** @throws UsageError, ConfigError */
function targetOf(values: Values): Target {
  if ((values.config === undefined) === (values.to === undefined)) {
    throw new UsageError('link probe send: --config FILE, or --to ADDRESS:PORT with --key-file FILE')
  }
  if (values.config !== undefined) return configured(values.config)
  if (values['key-file'] === undefined) throw new UsageError('link probe send: --to needs --key-file FILE')
  const { host, port } = endpoint('to', values.to!)
  const key = readLinkKey({ id: wholeNumber('key-id', values['key-id'], [0, 15]), file: values['key-file'] })
  return { host, port, from: values.from ?? (isIPv6(host) ? '::' : '0.0.0.0'), key, datagramOctets: 1_460 }
}

/** @throws ConfigError */
function configured(file: string): Target {
  const config = parseGatewayConfig(read(file), dirname(resolve(file)))
  const drawn = parseZones(read(config.zonesFile))
  const zones = config.loopback === undefined ? drawn : loopback(drawn, config.loopback)
  const host = addressOf(zones, 'mdm')
  const from = zones.hosts.gateway.addresses.find((address) => isIPv6(address) === isIPv6(host))
  if (from === undefined) throw new ConfigError([`zonesFile: hosts.gateway has no address of the version of ${host}`])
  const { port, limits } = conduit(zones, 'oneway')
  return { host, port, from, key: readLinkKey(config.linkKey), datagramOctets: limits.datagramOctetsMax }
}

/** @throws ConfigError */
function read(file: string): string {
  try {
    return readFileSync(file, 'utf8')
  } catch (error) {
    throw new ConfigError([`cannot read ${file} (${(error as NodeJS.ErrnoException).code})`])
  }
}

/** One run up the rates. */
class ProbeRun {
  readonly #sender: Sender
  readonly #key: LinkKey
  readonly #rates: readonly number[]
  readonly #octets: number
  /** The kernel may still hold `sendingMax` datagrams when the next is written. */
  readonly #slots: readonly Buffer[]
  readonly #run = randomBytes(8).readBigUInt64BE()
  readonly #sent: StepSent[] = []
  #written = 0

  constructor({
    sender,
    key,
    octets,
    rates,
  }: { sender: Sender; key: LinkKey; octets: number; rates: readonly number[] }) {
    this.#sender = sender
    this.#key = key
    this.#rates = rates
    this.#octets = octets
    this.#slots = Array.from({ length: sendingMax + 1 }, () => Buffer.alloc(octets))
  }

  get name(): string {
    return this.#run.toString(16).padStart(16, '0')
  }

  /** @param ms of each step */
  async go(ms: number): Promise<readonly StepSent[]> {
    for (const [step, kbitPerSecond] of this.#rates.entries()) {
      this.#sent.push(await this.#step(step, kbitPerSecond, ms))
      await sleep(settleMs)
    }
    for (let n = 0; n < closings; n++) {
      this.#send(this.#rates.length, n, 0)
      await sleep(closingMs)
    }
    return this.#sent
  }

  async #step(step: number, kbitPerSecond: number, ms: number): Promise<StepSent> {
    const began = performance.now()
    const pace = new Pace({ bitsPerSecond: kbitPerSecond * 1000, burstOctets: burstOctetsMax, nowMs: began })
    pace.take(burstOctetsMax - this.#octets, began) // a step begins at its rate, not with a full bucket
    let number = 0
    for (let now = began; now - began < ms && number < probeNumbersMax; now = performance.now()) {
      while (number < probeNumbersMax && this.#sender.sending < sendingMax && pace.take(this.#octets, now)) {
        this.#send(step, number++, kbitPerSecond)
      }
      await sleep(turnMs)
    }
    return { kbitPerSecond, datagrams: number, ms: Math.round(performance.now() - began) }
  }

  #send(step: number, number: number, kbitPerSecond: number): void {
    const octets = this.#slots[this.#written++ % this.#slots.length]!
    const mark = { run: this.#run, steps: this.#rates.length, step, number, kbitPerSecond, sent: this.#sent }
    writeProbe(octets, mark, this.#key)
    this.#sender.send(octets)
  }
}

function textOf(run: string, octets: number, sent: readonly StepSent[], { faults }: Sender): string {
  const lines = sent.map(({ kbitPerSecond, datagrams, ms }) => {
    const mbit = (datagrams * octets * 8) / ms / 1000
    return `${(kbitPerSecond / 1000).toFixed(1).padStart(8)} Mbit/s  ${mbit.toFixed(1).padStart(8)} left  ${String(datagrams).padStart(10)} datagrams\n`
  })
  return `run ${run}, datagrams of ${octets} octets\n${lines.join('')}${faults} not taken by the kernel\n`
}
