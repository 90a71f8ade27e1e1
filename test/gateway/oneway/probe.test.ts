import { createSecretKey } from 'node:crypto'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { PeerError } from '#gateway/errors.ts'
import { DatagramReader } from '#gateway/oneway/datagram.ts'
import {
  type ProbeMark,
  ProbeTally,
  probeNumbersMax,
  probeOctetsMin,
  probeRates,
  probeStepsMax,
  readProbe,
  type StepSent,
  writeProbe,
} from '#gateway/oneway/probe.ts'
import { datagramsOf, linkKey } from '#test/support/datagrams.ts'

const uint32 = fc.nat(0xffff_ffff)
const sent = fc.record({ kbitPerSecond: uint32, datagrams: uint32, ms: uint32 })
const marks: fc.Arbitrary<ProbeMark> = fc.integer({ min: 1, max: probeStepsMax }).chain((steps) =>
  fc.nat(steps).chain((step) =>
    fc.record({
      run: fc.bigInt(0n, 2n ** 64n - 1n),
      steps: fc.constant(steps),
      step: fc.constant(step),
      number: fc.nat(probeNumbersMax - 1),
      kbitPerSecond: uint32,
      sent: fc.array(sent, { minLength: step, maxLength: step }),
    }),
  ),
)

function written(mark: ProbeMark, octets = 1_460, key = linkKey): Buffer {
  const datagram = Buffer.alloc(octets)
  writeProbe(datagram, mark, key)
  return datagram
}

const some: ProbeMark = { run: 7n, steps: 3, step: 0, number: 0, kbitPerSecond: 10_000, sent: [] }

describe('a datagram of the probe', () => {
  test('says what was written', () => {
    fc.assert(
      fc.property(marks, (mark) => {
        expect(readProbe(written(mark), [linkKey])).toEqual(mark)
      }),
    )
  })

  test('is refused with any octet changed, and left as it came', () => {
    const good = written({ ...some, step: 1, sent: [{ kbitPerSecond: 10_000, datagrams: 500, ms: 1_000 }] }, 80)
    for (let at = 0; at < good.length; at++) {
      const bad = Buffer.from(good)
      bad[at]! ^= 1
      const before = Buffer.from(bad)
      expect(() => readProbe(bad, [linkKey]), String(at)).toThrow(PeerError)
      expect(bad).toEqual(before)
    }
  })

  test('is refused by its code: length, key, MAC, form', () => {
    const code = (octets: Buffer): string => {
      try {
        readProbe(octets, [linkKey])
        return 'taken'
      } catch (error) {
        return (error as PeerError).code
      }
    }
    expect(code(Buffer.alloc(43))).toBe('DATAGRAM_LENGTH')
    expect(code(Buffer.alloc(9_000))).toBe('DATAGRAM_LENGTH')
    expect(code(written(some, 100, { ...linkKey, id: 4 }))).toBe('DATAGRAM_KEY')
    expect(code(written(some, 100, { id: linkKey.id, key: createSecretKey(Buffer.alloc(32)) }))).toBe(
      'DATAGRAM_UNAUTHENTIC',
    )
    for (const change of [{ steps: 0 }, { steps: probeStepsMax + 1 }, { step: 4 }, { number: probeNumbersMax }]) {
      expect(code(written({ ...some, ...change })), JSON.stringify(change)).toBe('DATAGRAM_MALFORMED')
    }
    expect(code(written({ ...some, step: 2 }, probeOctetsMin(2) - 1))).toBe('DATAGRAM_MALFORMED') // a table cut short
  })

  test('is no data, and data are no probe, though the key is the same', () => {
    expect(() => new DatagramReader([linkKey], 8_388_608).read(written(some))).toThrow(PeerError)
    const [data] = datagramsOf(Buffer.alloc(500, 1), { epoch: 1, sequence: 1, symbolOctets: 1_400 })
    expect(() => readProbe(data!, [linkKey])).toThrow(PeerError)
  })
})

test('rates go from the first to the last, both tried, in at most a hundred steps', () => {
  expect(probeRates({ from: 10, to: 40, step: 10 })).toEqual([10, 20, 30, 40])
  expect(probeRates({ from: 10, to: 35, step: 10 })).toEqual([10, 20, 30, 35])
  expect(probeRates({ from: 10, to: 10, step: 1 })).toEqual([10])
  expect(probeRates({ from: 1, to: 100, step: 1 })).toHaveLength(probeStepsMax)
  for (const none of [
    { from: 1, to: 101, step: 1 },
    { from: 2, to: 1, step: 1 },
    { from: 0, to: 1, step: 1 },
    { from: 1, to: 2, step: 0 },
  ]) {
    expect(probeRates(none)).toBeUndefined()
  }
})

describe("the probe's account", () => {
  const octets = 1_000

  /** Steps of 1,000 datagrams at 1, 2, 3 … Mbit/s, each as long as its rate says, of which so many come. */
  function run(came: readonly number[], { ends = true, twice = false } = {}): ProbeTally {
    const tally = new ProbeTally()
    const told: StepSent[] = []
    for (const [step, count] of came.entries()) {
      const kbitPerSecond = 1_000 * (step + 1)
      const mark = { run: 7n, steps: came.length, step, kbitPerSecond, sent: [...told] }
      for (let number = 1_000 - count; number < 1_000; number++) {
        for (let times = 0; times < (twice ? 2 : 1); times++) tally.take({ ...mark, number }, octets)
      }
      told.push({ kbitPerSecond, datagrams: 1_000, ms: 8_000 / (step + 1) })
    }
    if (ends)
      tally.take({ run: 7n, steps: came.length, step: came.length, number: 0, kbitPerSecond: 0, sent: told }, octets)
    return tally
  }

  test('names of each step what was sent, what came and what was lost, and the knee', () => {
    const { steps, kneeMbit, complete, datagramOctets } = run([1_000, 1_000, 999, 800]).result(0.001)
    expect(steps.map(({ mbit }) => mbit)).toEqual([1, 2, 3, 4])
    expect(steps.map(({ sentMbit }) => sentMbit)).toEqual([1, 2, 3, 4].map((mbit) => expect.closeTo(mbit, 2)))
    expect(steps.map(({ sent, received }) => sent - received)).toEqual([0, 0, 1, 200])
    expect(steps[3]!.loss).toBeCloseTo(0.2)
    expect({ kneeMbit, complete, datagramOctets }).toEqual({
      kneeMbit: expect.closeTo(3, 2),
      complete: true,
      datagramOctets: octets,
    })
  })

  test('knows of a step of which nothing came, and takes none after it for the knee', () => {
    const { steps, kneeMbit } = run([1_000, 0, 1_000]).result(0.001)
    expect(steps[1]).toMatchObject({ mbit: 2, sent: 1_000, received: 0, loss: 1 })
    expect(kneeMbit).toBeCloseTo(1)
    expect(run([500, 1_000]).result(0.001).kneeMbit).toBeUndefined()
  })

  test('counts a datagram that comes twice once', () => {
    expect(
      run([1_000, 900], { twice: true })
        .result(0)
        .steps.map(({ received }) => received),
    ).toEqual([1_000, 900])
  })

  test('of a run whose end it does not hear says so, and counts up to the highest number', () => {
    const { complete, steps } = run([1_000, 600], { ends: false }).result(0.001)
    expect(complete).toBe(false)
    expect(steps[1]).toMatchObject({ sent: 1_000, received: 600, sentMbit: undefined })
  })

  test('keeps to the run that it heard first', () => {
    const tally = run([1_000])
    tally.take({ ...some, run: 8n }, octets)
    expect(tally.foreign).toBe(1)
    expect(tally.result(0)).toMatchObject({ run: '0000000000000007', steps: [{ received: 1_000 }] })
  })

  test('puts what the kernel dropped under the step that came last', () => {
    const tally = run([1_000, 900])
    tally.dropped(100)
    tally.dropped(0)
    expect(tally.result(0).steps.map(({ kernelDrops }) => kernelDrops)).toEqual([0, 100])
  })

  test('of nothing is empty', () => {
    expect(new ProbeTally().result(0)).toMatchObject({ steps: [], kneeMbit: undefined, complete: false })
  })
})
