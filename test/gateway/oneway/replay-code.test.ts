import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import {
  codeCharactersMax,
  decodeReplayCode,
  encodeReplayCode,
  lackingMax,
  replayCodes,
} from '#gateway/oneway/replay-code.ts'

const anyLacking = fc
  .tuple(fc.nat(0xffffffff), fc.integer({ min: 1, max: 2 ** 40 }), fc.nat(lackingMax - 1))
  .map(([epoch, from, more]) => ({ epoch, from, to: from + more }))
const refused = expect.objectContaining({ code: 'REPLAY_CODE' })

describe('a replay code', () => {
  test('says what is lacking, however it is typed', () => {
    fc.assert(
      fc.property(anyLacking, (lacking) => {
        const code = encodeReplayCode(lacking)
        expect(code).toMatch(/^[0-9A-HJKMNP-TV-Z]{4}(-[0-9A-HJKMNP-TV-Z]{1,4})+$/)
        const typed = [code, code.toLowerCase(), code.replaceAll('-', ' '), ` ${code.replaceAll('-', '')} `]
        const alike = code.replaceAll('1', 'l').replaceAll('0', 'o')
        for (const one of [...typed, alike]) expect(decodeReplayCode(one)).toEqual(lacking)
      }),
    )
  })

  test('of one batch early in a stream is short enough to be read out', () => {
    expect(encodeReplayCode({ epoch: 0xffffffff, from: 9_999, to: 9_999 }).length).toBeLessThanOrEqual(20)
  })

  test('with one character wrong, or two that have changed places, is refused', () => {
    const codes = fc.sample(anyLacking, { numRuns: 20, seed: 1 }).map(encodeReplayCode)
    let tried = 0
    for (const code of codes.map((one) => one.replaceAll('-', ''))) {
      for (let at = 0; at < code.length; at++) {
        for (const other of '0123456789ABCDEFGHJKMNPQRSTVWXYZU*') {
          if (other === code[at]) continue
          expect(() => decodeReplayCode(code.slice(0, at) + other + code.slice(at + 1)), code).toThrow(refused)
          tried++
        }
        const [one, next] = [code[at], code[at + 1]]
        if (next === undefined || one === next) continue
        expect(() => decodeReplayCode(code.slice(0, at) + next + one + code.slice(at + 2)), code).toThrow(refused)
      }
    }
    expect(tried).toBeGreaterThan(10_000)
  })

  test('is refused where it is none, whatever is typed', () => {
    fc.assert(
      fc.property(fc.string({ maxLength: 80 }), (text) => {
        expect(() => decodeReplayCode(text)).toThrow(refused)
      }),
    )
    expect(() => decodeReplayCode('A'.repeat(codeCharactersMax + 1))).toThrow(refused)
  })

  test('asks for at least one batch and no more than it may', () => {
    for (const [from, to] of [
      [0, 0],
      [1, lackingMax + 1],
    ] as const) {
      const code = encodeReplayCode({ epoch: 1, from, to })
      expect(() => decodeReplayCode(code)).toThrow(refused)
    }
  })
})

test('gaps have a code each, a long one several, and no more than asked for', () => {
  const gaps = [
    [3, 3],
    [10, 10 + 2 * lackingMax],
  ] as const
  const codes = replayCodes(7, gaps, 100).map(decodeReplayCode)
  expect(codes).toEqual([
    { epoch: 7, from: 3, to: 3 },
    { epoch: 7, from: 10, to: 9 + lackingMax },
    { epoch: 7, from: 10 + lackingMax, to: 9 + 2 * lackingMax },
    { epoch: 7, from: 10 + 2 * lackingMax, to: 10 + 2 * lackingMax },
  ])
  expect(replayCodes(7, gaps, 2)).toHaveLength(2)
})
