import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { encodeData } from '#gateway/codec/axdr.ts'
import { BlockAssembler, blocksMax, dataBlocks } from '#gateway/codec/block-assembler.ts'
import {
  decodeBlockData,
  decodeBlockDataList,
  decodeBlockOutcomes,
  decodeBlockResults,
  encodeBlockDataList,
  encodeBlockOutcomes,
  encodeBlockResults,
} from '#gateway/codec/block-contents.ts'
import type { DataBlock } from '#gateway/codec/data-block.ts'
import { octetsMax } from '#gateway/codec/octets.ts'
import { anyGetResult } from './arbitrary.ts'
import { anyData } from './arbitrary-data.ts'

const block = (number: number, last = false, ...octets: number[]): DataBlock => {
  return { last, number, octets: Uint8Array.from(octets) }
}

function refusal(code: string): unknown {
  return expect.objectContaining({ name: 'PeerError', code })
}

describe('data blocks', () => {
  test('what is cut into blocks is put together again, whichever came twice in a row', () => {
    fc.assert(
      fc.property(
        fc.uint8Array({ maxLength: 200 }),
        fc.integer({ min: 1, max: 50 }),
        fc.infiniteStream(fc.boolean()),
        (octets, size, twice) => {
          const assembler = new BlockAssembler()
          const blocks = dataBlocks(octets, size)
          for (const one of blocks) {
            const end = one.last ? { kind: 'whole', octets } : { kind: 'more', number: one.number }
            expect(assembler.add(one)).toEqual(end)
            if (!twice.next().value) continue
            expect(assembler.add({ ...one })).toEqual(one.last ? end : { kind: 'repeated', number: one.number })
          }
        },
      ),
    )
  })

  test('a block is known again though the buffer that it lay in is used for the next', () => {
    const assembler = new BlockAssembler()
    const buffer = Buffer.from([1, 2])
    assembler.add({ last: false, number: 1, octets: buffer })
    buffer.fill(9)
    expect(assembler.add(block(1, false, 1, 2))).toEqual({ kind: 'repeated', number: 1 })
    expect(() => assembler.add(block(1, false, 9, 9))).toThrow(refusal('FRAME_SEQUENCE'))
  })

  test.each<[string, DataBlock[], DataBlock]>([
    ['the first is lost', [], block(2, true)],
    ['a number of 0 comes first', [], block(0)],
    ['one is lost', [block(1, false, 1)], block(3)],
    ['one before the last comes again', [block(1, false, 1), block(2, false, 2)], block(1, false, 1)],
    ['the last comes again with other octets', [block(1, false, 1)], block(1, false, 2)],
    ['the last comes again, no longer the end', [block(1, true, 1)], block(1, false, 1)],
    ['one comes behind the end', [block(1, true, 1)], block(2)],
  ])('are refused when %s, and the right one is still taken', (_, before, wrong) => {
    const assembler = new BlockAssembler()
    for (const one of before) assembler.add(one)
    expect(() => assembler.add(wrong)).toThrow(refusal('FRAME_SEQUENCE'))
    const last = before.at(-1)
    if (last?.last === true) return expect(assembler.add(last)).toMatchObject({ kind: 'whole' })
    const end = block(before.length + 1, true, 7)
    expect(assembler.add(end)).toEqual({
      kind: 'whole',
      octets: Uint8Array.of(...before.flatMap(({ octets }) => [...octets]), 7),
    })
  })

  test('keep what they held when the buffer they came in is used again', () => {
    const assembler = new BlockAssembler()
    const buffer = Uint8Array.of(1)
    assembler.add({ last: false, number: 1, octets: buffer })
    buffer[0] = 9
    expect(assembler.add(block(1, false, 1))).toEqual({ kind: 'repeated', number: 1 })
    expect(assembler.add(block(2, true, 2))).toEqual({ kind: 'whole', octets: Uint8Array.of(1, 2) })
  })

  test(`end at ${octetsMax} octets and at ${blocksMax} blocks`, () => {
    const large = new BlockAssembler()
    large.add({ last: false, number: 1, octets: new Uint8Array(octetsMax) })
    expect(() => large.add(block(2, true, 1))).toThrow(refusal('APDU_LENGTH'))
    expect(large.add(block(2, true))).toMatchObject({ kind: 'whole' })
    const many = new BlockAssembler()
    for (let number = 1; number <= blocksMax; number++) many.add(block(number))
    expect(() => many.add(block(blocksMax + 1, true))).toThrow(refusal('DATA_COUNT'))
  })

  test('are cut into what can be put together, or not at all', () => {
    expect(dataBlocks(new Uint8Array(), 9)).toEqual([block(1, true)])
    expect(() => dataBlocks(Uint8Array.of(1), 0)).toThrow(RangeError)
    expect(() => dataBlocks(new Uint8Array(blocksMax + 1), 1)).toThrow(RangeError)
  })

  test('hold one value, a list of values or a list of results, and nothing behind', () => {
    const lists = { maxLength: 4 }
    fc.assert(
      fc.property(
        anyData,
        fc.array(anyData, lists),
        fc.array(anyGetResult, lists),
        fc.nat(255),
        (data, list, results, result) => {
          expect(decodeBlockData(encodeData(data))).toEqual(data)
          expect(decodeBlockDataList(encodeBlockDataList(list))).toEqual(list)
          expect(decodeBlockResults(encodeBlockResults(results))).toEqual(results)
          const outcomes = [...results, undefined].map((returned) => ({ result, returned }))
          expect(decodeBlockOutcomes(encodeBlockOutcomes(outcomes))).toEqual(outcomes)
        },
      ),
    )
    for (const decode of [decodeBlockDataList, decodeBlockResults, decodeBlockOutcomes]) {
      expect(() => decode(Uint8Array.of(0, 0))).toThrow(expect.objectContaining({ code: 'APDU_TRAILING', offset: 1 }))
    }
    expect(() => decodeBlockData(Uint8Array.of(0, 0))).toThrow(refusal('APDU_TRAILING'))
  })
})
