import { describe, expect, test } from 'vitest'
import { keptOctetsMax, readCorpus } from './corpus.ts'
import { execute } from './execute.ts'
import { targets } from './targets.ts'

describe.for(targets)('$name', (target) => {
  test('every right input is taken', async () => {
    for (const octets of target.seeds()) expect(await execute(target, octets)).toBeTypeOf('string')
  })

  test('every kept input gives a value or a fault, in time and memory', async () => {
    const kept = readCorpus(target.name)
    expect(kept.length).toBeGreaterThan(0)
    for (const { file, octets } of kept) {
      expect(octets.length, file).toBeLessThanOrEqual(keptOctetsMax)
      expect(await execute(target, octets), file).toBeTypeOf('string')
    }
  })
})
