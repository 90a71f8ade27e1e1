/**
 * Forward error correction of the one-way link: octets a second of both codes and of each end without its socket, and how often LDPC-Staircase fails where as many
 * symbols came as a code without a margin would need.
 *
 *   npm run bench:fec -- [--decodes N] [--sources K,K] [--seed S] [--json]
 */
import { createSecretKey } from 'node:crypto'
import { parseArgs } from 'node:util'
import { type Assembled, Assembler } from '#gateway/oneway/assemble.ts'
import { DatagramReader, DatagramWriter } from '#gateway/oneway/datagram.ts'
import { type ObjectShape, sourceSymbols } from '#gateway/oneway/fec/block.ts'
import { ObjectDecoder } from '#gateway/oneway/fec/decoder.ts'
import { encodeRepair } from '#gateway/oneway/fec/encoder.ts'
import { ldpcSolve, matrixOf } from '#gateway/oneway/fec/ldpc.ts'
import { logTail, type ObjectPlan, planObject, repairOfPass, symbolsOfPass } from '#gateway/oneway/fec/plan.ts'
import { Pass } from '#gateway/oneway/pass.ts'
import { grouped, median, rounded, table } from './figures.ts'

const plannedLoss = 0.1
const passes = 3
const rounds = 7

const { values } = parseArgs({
  options: {
    decodes: { type: 'string', default: '100000' },
    sources: { type: 'string', default: '300,754' },
    seed: { type: 'string', default: '1' },
    json: { type: 'boolean', default: false },
  },
})

/** xorshift32: numbers below 1, the same for the same seed. */
function randomFrom(seed: number): () => number {
  let state = seed >>> 0 || 1
  return () => {
    state ^= state << 13
    state ^= state >>> 17
    state ^= state << 5
    return (state >>> 0) / 2 ** 32
  }
}

const random = randomFrom(Number(values.seed) * 2_654_435_761)

/** Draws for each datagram of a pass whether it is lost. */
interface Loss {
  name: string
  draw(lost: Uint8Array): void
  /** each datagram by itself: then the binomial tail is known */
  share?: number
}

const independent = (share: number): Loss => ({
  name: `${share * 100} %`,
  share,
  draw: (lost) => {
    for (let i = 0; i < lost.length; i++) lost[i] = random() < share ? 1 : 0
  },
})

/** Gilbert's channel: bursts of `mean` datagrams on average, all lost, between them none. */
const bursts = (share: number, mean: number): Loss => ({
  name: `${share * 100} % in bursts of ${mean}`,
  draw: (lost) => {
    const [begin, end] = [share / mean / (1 - share), 1 / mean]
    let bad = random() < share
    for (let i = 0; i < lost.length; i++) {
      bad = bad ? random() >= end : random() < begin
      lost[i] = bad ? 1 : 0
    }
  },
})

const losses = [...[0.02, 0.05, 0.1, 0.15].map(independent), bursts(plannedLoss, 10), bursts(plannedLoss, 100)]

interface Failures {
  sources: number
  repair: number
  loss: string
  decodes: number
  computed: number | undefined
  tooFew: number
  failed: number
}

/** Structure only: symbols of one octet fail as those of 1,400 do. */
const planFor = (sources: number): ObjectPlan =>
  planObject({ objectOctets: sources, symbolOctets: 1 }, { lossShare: plannedLoss, passes })

function failures(sources: number, loss: Loss, decodes: number): Failures {
  const plan = planFor(sources)
  const matrix = matrixOf(plan.shape)
  const [symbols, have] = [new Uint8Array(plan.shape.symbols), new Uint8Array(plan.shape.symbols)]
  const orders = Array.from({ length: passes }, (_, pass) => symbolsOfPass(plan, pass))
  let [tooFew, failed] = [0, 0]
  for (let n = 0; n < decodes; n++) {
    const pass = orders[n % passes]!
    const lost = new Uint8Array(pass.length)
    loss.draw(lost)
    have.fill(0)
    let came = 0
    pass.forEach((symbol, i) => {
      have[symbol] = 1 - lost[i]!
      came += have[symbol]
    })
    if (came < sources) tooFew++
    else if (ldpcSolve({ symbols, have, shape: plan.shape }, matrix) !== 0) failed++
  }
  const { share } = loss
  const computed =
    share === undefined ? undefined : Math.exp(logTail(sources + plan.repair, share, plan.repair + 1)) * decodes
  return { sources, repair: plan.repair, loss: loss.name, decodes, computed, tooFew, failed }
}

/** Of receptions of exactly k + x symbols of one pass, how many fail. */
function overhead(sources: number, decodes: number, beyond: readonly number[]): { beyond: number; failed: number }[] {
  const plan = planFor(sources)
  const matrix = matrixOf(plan.shape)
  const [symbols, have] = [new Uint8Array(plan.shape.symbols), new Uint8Array(plan.shape.symbols)]
  return beyond.map((extra) => {
    let failed = 0
    for (let n = 0; n < decodes; n++) {
      const pass = [...Array(sources).keys(), ...repairOfPass(plan, n)]
      have.fill(0)
      for (let i = 0; i < sources + extra; i++) {
        const other = i + Math.floor(random() * (pass.length - i))
        have[pass[other]!] = 1
        pass[other] = pass[i]!
      }
      if (ldpcSolve({ symbols, have, shape: plan.shape }, matrix) !== 0) failed++
    }
    return { beyond: extra, failed }
  })
}

interface Speed {
  octets: number
  symbolOctets: number
  code: string
  encode: number
  decode: number
  whole: number
  /** all that an end does but its socket: code, header and MAC; MAC, bounds and code */
  sending: number
  receiving: number
}

/** Megabytes of the object a second of this thread: medians of rounds. */
function speed(octets: number, symbolOctets: number): Speed {
  const plan = planObject({ objectOctets: octets, symbolOctets }, { lossShare: plannedLoss, passes })
  const { shape } = plan
  const object = Buffer.from(Uint8Array.from({ length: octets }, () => random() * 256))
  const wanted = repairOfPass(plan, 0)
  const repair = encodeRepair(object, shape, wanted)
  const k = sourceSymbols(shape)
  const sent = [
    ...Array.from({ length: k }, (_, i) => ({ i, payload: object.subarray(i * symbolOctets, (i + 1) * symbolOctets) })),
    ...wanted.map((i, at) => ({ i, payload: repair.subarray(at * symbolOctets, (at + 1) * symbolOctets) })),
  ]
  const lost = new Uint8Array(sent.length)
  return {
    octets,
    symbolOctets,
    code: shape.fecId === 5 ? 'Reed-Solomon' : 'LDPC-Staircase',
    encode: rate(octets, () => void encodeRepair(object, shape, wanted)),
    decode: rate(octets, () => {
      independent(plannedLoss).draw(lost)
      receive(
        shape,
        sent.filter((_, i) => lost[i] === 0),
      )
    }),
    whole: rate(octets, () => receive(shape, sent)),
    ...ends(object, symbolOctets),
  }
}

const key = { id: 0, key: createSecretKey(Buffer.alloc(32, 1)) }

function ends(object: Buffer, symbolOctets: number): { sending: number; receiving: number } {
  const writer = new DatagramWriter({ key, epoch: 1, slots: 2, symbolOctets })
  const reader = new DatagramReader([key], 8_388_608)
  const send = (to: (datagram: Buffer) => void): void => {
    const pass = new Pass(object, 0, { symbolOctets, lossShare: plannedLoss, passes })
    for (let at = 0; at < pass.length; at++) to(writer.write({ sequence: 1, ...pass.symbol(at) }))
  }
  const datagrams: Buffer[] = []
  send((datagram) => datagrams.push(Buffer.from(datagram)))
  const assembler = new Assembler({ openMax: 1, octetsMax: 67_108_864 })
  const lost = new Uint8Array(datagrams.length)
  return {
    sending: rate(object.length, () => send(() => {})),
    receiving: rate(object.length, () => {
      independent(plannedLoss).draw(lost)
      let whole: Assembled | undefined
      for (const [i, datagram] of datagrams.entries()) {
        if (lost[i] === 0) whole = assembler.take(reader.read(datagram)) ?? whole
      }
      if (whole !== undefined) assembler.settled(whole) // when its pass is over, as a receiver that verifies meanwhile
    }),
  }
}

function receive(shape: ObjectShape, sent: readonly { i: number; payload: Uint8Array }[]): void {
  const decoder = new ObjectDecoder(shape)
  for (const { i, payload } of sent) if (decoder.take(i, payload) === 'whole') return
}

function rate(octets: number, run: () => void): number {
  const times = Math.ceil(4_194_304 / octets)
  const seconds = Array.from({ length: rounds + 2 }, () => {
    const before = process.cpuUsage()
    for (let n = 0; n < times; n++) run()
    const { user, system } = process.cpuUsage(before)
    return (user + system) / 1e6
  })
  return rounded((octets * times) / 1e6 / median(seconds.slice(2)))
}

const decodes = Number(values.decodes)
const sourcesAsked = values.sources.split(',').map(Number)
const speeds = [
  ...[14_000, 65_536, 262_144, 1_048_576, 8_388_608].map((octets) => speed(octets, 1_400)),
  speed(1_048_576, 8_800),
  speed(8_388_608, 8_800),
]
const beyond = [0, 1, 2, 3, 5, 10, 15, 20]
const overheads = sourcesAsked.map((sources) => ({ sources, curve: overhead(sources, decodes, beyond) }))
const failed = sourcesAsked.flatMap((sources) => losses.map((loss) => failures(sources, loss, decodes)))

if (values.json) console.log(JSON.stringify({ decodes, seed: Number(values.seed), speeds, overheads, failed }, null, 2))
else {
  console.log(
    table([
      [
        'object',
        'symbol',
        'code',
        'encode MB/s',
        'decode MB/s',
        'nothing lost MB/s',
        'sending end MB/s',
        'receiving end MB/s',
      ],
      ...speeds.map((one) => [
        grouped(one.octets),
        grouped(one.symbolOctets),
        one.code,
        ...[one.encode, one.decode, one.whole, one.sending, one.receiving].map(grouped),
      ]),
    ]),
  )
  console.log(`LDPC-Staircase, failures in ${grouped(decodes)} receptions of k + x symbols`)
  console.log(
    table([
      ['k', ...beyond.map((x) => `x = ${x}`)],
      ...overheads.map(({ sources, curve }) => [String(sources), ...curve.map((point) => String(point.failed))]),
    ]),
  )
  console.log(`One pass planned for ${plannedLoss * 100} % loss, ${grouped(decodes)} decodes each`)
  console.log(
    table([
      ['k', 'repair', 'loss', 'computed', 'fewer than k came', 'k came and it failed'],
      ...failed.map((one) => [
        String(one.sources),
        String(one.repair),
        one.loss,
        one.computed === undefined ? '' : one.computed.toPrecision(2),
        String(one.tooFew),
        String(one.failed),
      ]),
    ]),
  )
}
