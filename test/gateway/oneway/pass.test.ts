import { describe, expect, test } from 'vitest'
import { Assembler } from '#gateway/oneway/assemble.ts'
import { random } from '#simulator/random.ts'
import { datagramsOf, readDatagram } from '#test/support/datagrams.ts'
import { seededOctets } from './fec/samples.ts'

const seeds = Array.from({ length: 20 }, (_, i) => i + 1)
const limits = { openMax: 20, octetsMax: 10_000_000 }
const symbolOctets = 64

describe('a pass', () => {
  test.for(seeds)(
    'seed %i: objects of every size come through 10 %% loss in one pass, none lost and none spoiled',
    (seed) => {
      const draw = random(seed)
      const assembler = new Assembler(limits)
      for (const symbols of [1, 2, 10, 48, 150, 197, 198, 300, 754]) {
        const object = seededOctets(symbols * symbolOctets - Math.floor(draw() * symbolOctets), seed + symbols)
        const sent = datagramsOf(object, { epoch: 1, sequence: symbols, symbolOctets, lossShare: 0.1 })
        const whole = sent.flatMap((one) => (draw() < 0.1 ? [] : (assembler.take(readDatagram(one)) ?? [])))
        expect(whole, `${symbols} symbols`).toHaveLength(1)
        expect(whole[0]!.octets.equals(object)).toBe(true)
      }
    },
  )

  test.for(seeds)('seed %i: a burst that takes most of a pass is made good by the next', (seed) => {
    const draw = random(seed)
    for (const symbols of [20, 250]) {
      const object = seededOctets(symbols * symbolOctets, seed)
      const assembler = new Assembler(limits)
      const passes = [0, 1].map((pass) =>
        datagramsOf(object, { epoch: 1, sequence: 1, symbolOctets, lossShare: 0.1, pass }).map(readDatagram),
      )
      const burst = Math.floor(passes[0]!.length * (0.4 + draw() * 0.6))
      const came = [...passes[0]!.slice(burst), ...passes[1]!]
      const whole = came.flatMap((one) => assembler.take(one) ?? [])
      expect(whole.map(({ octets }) => octets.equals(object))).toEqual([true])
    }
  })
})
