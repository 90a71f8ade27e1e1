import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { decodeApdu, encodeApdu } from '#gateway/codec/apdu.ts'
import { type Data, encodeData } from '#gateway/codec/axdr.ts'
import { unframe } from '#gateway/codec/framing.ts'
import { frameHdlc } from '#gateway/codec/hdlc.ts'
import { frameMbus } from '#gateway/codec/mbus.ts'
import { encodeDataNotification } from '#gateway/codec/notification.ts'
import { parseObis } from '#gateway/codec/obis.ts'
import type { SeenFrame } from '#gateway/codec/payload.ts'
import { Trace } from '#gateway/codec/trace.ts'
import { framings } from '#gateway/codec/uplink.ts'
import { frameWrapper } from '#gateway/codec/wrapper.ts'
import { PeerError } from '#gateway/errors.ts'
import { explainTree } from '#gateway/readings/explain-tree.ts'
import { type TreeLayer, type TreeNode, treeText } from '#gateway/readings/tree.ts'
import { profilePush } from '#simulator/push.ts'
import { anyServiceApdu } from '../codec/arbitrary.ts'
import { name, newYear, notification, o, s, scale, text, u16, u32 } from './build.ts'

function noKey(): never {
  throw new PeerError('KEY_MISSING', 'no key')
}

function layersOf(
  stream: Uint8Array,
  framing: (typeof framings)[number] = 'apdu',
  open = noKey as () => Uint8Array,
): TreeLayer[] {
  const frames: SeenFrame[] = []
  const unframed = unframe(stream, framing, (frame) => frames.push(frame))
  return explainTree(stream, unframed, { frames, open })
}

function all(nodes: readonly TreeNode[]): TreeNode[] {
  return nodes.flatMap((one) => [one, ...all(one.children)])
}

/** The numbers of an APDU's own fields that have an offset, by where they are in the tree. */
function numbered(octets: Uint8Array): { path: string; one: TreeNode }[] {
  const [layer] = explainTree(
    octets,
    { payloads: [{ octets, offset: 0 }], frames: 1, faults: [] },
    { frames: [], open: noKey },
  )
  const walk = (nodes: readonly TreeNode[], path: string): { path: string; one: TreeNode }[] =>
    nodes.flatMap((one) => [{ path: `${path}/${one.name}`, one }, ...walk(one.children, `${path}/${one.name}`)])
  return walk(layer!.nodes, '').filter(
    ({ one }) => typeof one.value === 'number' && one.type === null && one.offset !== null,
  )
}

const push = encodeDataNotification(
  notification(s(text('LIST'), s(name('1-0:1.8.0'), u32(7), scale(-3, 30)), s(name('0-0:42.0.0'), o('414d49')))),
)

test('a notification is a tree of offsets, fields, types, values and meanings', () => {
  expect(treeText(layersOf(push))).toBe(`apdu: ${push.length} octets, as received, from 0000 on
  0000  data-notification  -- tag 0f
  0001    longInvokeId 1  -- invoke id 1, normal priority, unconfirmed
  0006    dateTime 07e801010100000000000000  -- 2024-01-01 Mon 00:00:00, UTC+00:00 (deviation 0 min) = 2024-01-01T00:00:00Z, clock status 00: nothing set
  0012    body structure of 3
  0014      [0] visible-string 'LIST'
  001a      [1] structure of 3
  001c        [0] octet-string 0100010800ff  -- 1-0:1.8.0 active energy import, total
  0024        [1] double-long-unsigned 7  -- 1-0:1.8.0 active energy import, total = 0.007 Wh
  0029        [2] structure of 2  -- times 10^-3, Wh (active energy)
  002b          [0] integer -3
  002d          [1] enum 30
  002f      [2] structure of 2
  0031        [0] octet-string 00002a0000ff  -- 0-0:42.0.0 logical device name
  0039        [1] octet-string 414d49  -- 0-0:42.0.0 logical device name = 'AMI'
`)
})

describe('frames', () => {
  test('of HDLC have addresses, control and segmentation in words, at their place in the stream', () => {
    const address = { destination: Uint8Array.of(0xce, 0xff), source: Uint8Array.of(0x03), control: 0x13 }
    const [frames, apdu] = layersOf(frameHdlc(push, address, 64), 'hdlc')
    expect(frames!.nodes.map(({ offset, octets }) => [offset, octets])).toEqual([
      [0, 76],
      [76, 12 + push.length + 3 - 64],
    ])
    const [first, second] = frames!.nodes
    expect(first!.children.map(({ offset, name, meaning }) => [offset, name, meaning])).toEqual([
      [1, 'segmented', 'more segments follow'],
      [3, 'destination', 'logical 103, physical 127'],
      [5, 'source', '1, management'],
      [6, 'control', '13: UI, poll/final'],
      [9, 'information', '64 octets'],
    ])
    expect(second!.children[0]!.meaning).toBe('the last segment')
    expect([apdu!.kind, apdu!.octets]).toEqual(['apdu', push.length])
  })

  test('of the wrapper have ports, of M-Bus segments', () => {
    const wrapped = layersOf(frameWrapper(push, { source: 1, destination: 16 }), 'wrapper')[0]!
    expect(
      wrapped.nodes[0]!.children.map(({ offset, name, value, meaning }) => [offset, name, value, meaning]),
    ).toEqual([
      [2, 'source', 1, 'management logical device or client'],
      [4, 'destination', 16, 'public client'],
      [6, 'length', push.length, null],
    ])
    const fields = { control: 0x53, address: 0xff, source: 1, destination: 0x67 }
    const [first, second] = layersOf(frameMbus(push, fields, 32), 'mbus')[0]!.nodes
    expect(first!.children.map(({ name, value, meaning }) => [name, value, meaning]).slice(0, 4)).toEqual([
      ['control', 0x53, '53: SND-UD'],
      ['address', 0xff, null],
      ['segment', 0, null],
      ['last', false, 'more segments follow'],
    ])
    expect(second!.offset).toBe(first!.octets)
  })

  test('that do not hold are shown with their faults among the others', () => {
    const address = { destination: Uint8Array.of(3), source: Uint8Array.of(5), control: 0x13 }
    const good = frameHdlc(push, address, 1_000)
    const bad = Uint8Array.from(good)
    bad[20]! ^= 1
    const [frames] = layersOf(Uint8Array.from([...bad, ...good]), 'hdlc')
    expect(frames!.nodes.map((one) => [one.name, one.meaning?.slice(0, 14)])).toEqual([
      ['passed over', 'FRAME_CHECKSUM'],
      ['HDLC frame', `${good.length} octets`],
    ])
  })
})

const sealed = encodeApdu({
  apdu: 'general-glo-ciphering',
  systemTitle: Uint8Array.from(Buffer.from('414d490000000001', 'hex')),
  securityControl: 0x30,
  invocationCounter: 7,
  content: new Uint8Array(12),
})

describe('a ciphered APDU', () => {
  test('shows its protection in words, and what is inside as a layer of its own', () => {
    const layers = layersOf(sealed, 'apdu', () => push)
    expect(layers.map(({ kind, octets, from }) => [kind, octets, from])).toEqual([
      ['apdu', sealed.length, 'as received, from 0000 on'],
      ['plain', push.length, 'deciphered from general-glo-ciphering'],
    ])
    expect(layers[0]!.nodes[0]!.children.map(({ offset, name, meaning }) => [offset, name, meaning])).toEqual([
      [2, 'systemTitle', 'manufacturer AMI'],
      [11, 'securityControl', '30: suite 0, authenticated, encrypted, unicast key'],
      [12, 'invocationCounter', null],
      [16, 'content', '12 octets'],
    ])
  })

  test('without a key is shown all the same, with the fault behind it', () => {
    const [layer, ...more] = layersOf(sealed)
    expect(more).toEqual([])
    expect(layer!.nodes[0]!.name).toBe('general-glo-ciphering')
    expect(layer!.fault).toMatchObject({ code: 'KEY_MISSING' })
    expect(treeText([layer!])).toMatch(/! KEY_MISSING: no key\n$/)
  })

  test('in ciphered APDUs without end is cut off', () => {
    const layers = layersOf(sealed, 'apdu', () => sealed)
    expect(layers).toHaveLength(5)
    expect(layers.at(-1)!.fault).toMatchObject({ code: 'APDU_UNSUPPORTED' })
  })
})

test('blocks are put together into a layer', () => {
  const block = { apdu: 'general-block-transfer', streaming: true, window: 0, acknowledged: 0 } as const
  const blocks = [push.subarray(0, 20), push.subarray(20)].map((part, i) =>
    frameWrapper(encodeApdu({ ...block, last: i === 1, number: i + 1, block: part }), { source: 1, destination: 1 }),
  )
  const layers = layersOf(Uint8Array.from(blocks.flatMap((one) => [...one])), 'wrapper')
  expect(layers.map(({ kind }) => kind)).toEqual(['frames', 'apdu', 'apdu', 'blocks'])
  expect(layers[3]!.nodes[0]!.name).toBe('data-notification')
})

test('the cells of a profile are named by their columns', () => {
  const octets = profilePush({
    invokeId: 1,
    at: newYear,
    capturePeriod: 900,
    channels: [{ obis: parseObis('1-0:1.29.0'), scaler: -1, unit: 30 }],
    rows: [{ end: newYear, status: 0, values: [75] }],
  })
  const meanings = all(layersOf(octets)[0]!.nodes).map(({ meaning }) => meaning)
  expect(meanings).toContain(
    'Register 1-0:1.29.0 active energy import, over the recording interval 1, total: value = 7.5 Wh',
  )
  expect(meanings.filter((words) => words?.startsWith('Clock 0-0:1.0.0 clock: time = 2024-01-01'))).toHaveLength(1)
})

test('an APDU that is read by nobody else here shows fields and data at their offsets', () => {
  const octets = encodeApdu({
    apdu: 'get-response',
    invokeId: 0xc1,
    choice: 'normal',
    result: { kind: 'data', data: s(u16(1), o('0102')) },
  })
  expect(treeText(layersOf(octets))).toBe(`apdu: ${octets.length} octets, as received, from 0000 on
  0000  get-response  -- tag c4
  0001    choice normal
  0002    invokeId 193  -- invoke id 1, confirmed, high priority
          result
  0003      kind data
  0004      data structure of 2
  0006        [0] long-unsigned 1
  0009        [1] octet-string 0102
`)
})

describe('offsets', () => {
  test('of data are where its octets are, whatever APDU carries it', () => {
    fc.assert(
      fc.property(anyServiceApdu, (apdu) => {
        const octets = encodeApdu(apdu)
        const trace = new Trace()
        expect(decodeApdu(octets, 0, trace.open)).toEqual(decodeApdu(octets))
        for (const [value, { start, end }] of trace.spans) {
          const found = octets.subarray(start, end)
          if (value instanceof Uint8Array) expect(found).toEqual(value)
        }
      }),
      { numRuns: 300 },
    )
  })

  test('of numbers are where they come from: with another octet there it is another number', () => {
    let checked = 0
    fc.assert(
      fc.property(anyServiceApdu, (apdu) => {
        const octets = encodeApdu(apdu)
        for (const { path, one } of numbered(octets)) {
          const other = Uint8Array.from(octets)
          other[one.offset! + one.octets! - 1]! ^= 1
          const same = numbered(other).find((found) => found.path === path)
          if (same === undefined) continue // refused, or of another choice
          expect([path, same.one.value]).not.toEqual([path, one.value])
          checked++
        }
      }),
      { numRuns: 300 },
    )
    expect(checked).toBeGreaterThan(300)
  })

  test('of equal numbers are told apart, and one that could be in two places has none', () => {
    const outcome = (result: number, of?: number) => ({
      result,
      returned: of === undefined ? undefined : ({ kind: 'error', result: of } as const),
    })
    const octets = encodeApdu({
      apdu: 'action-response',
      invokeId: 0,
      choice: 'with-list',
      outcomes: [outcome(38, 0), outcome(38), outcome(38, 1)],
    })
    expect(treeText(layersOf(octets))).toBe(`apdu: ${octets.length} octets, as received, from 0000 on
  0000  action-response  -- tag c7
  0001    choice with-list
  0002    invokeId 0  -- invoke id 0, unconfirmed, normal priority
          outcomes
            [0]
  0004        result 38
              returned
                kind error
  0007          result 0  -- success
            [1]
  0008        result 38
            [2]
  000a        result 38
              returned
                kind error
                result 1  -- hardware-fault
`)
  })

  test('of tagged values hold what encodes them', () => {
    const body = s(text('x'), s(u32(7), scale(1, 30)), o('00'.repeat(200)))
    const octets = encodeDataNotification(notification(body))
    const trace = new Trace()
    decodeApdu(octets, 0, trace.open)
    const values = [...trace.spans].filter(([value]) => !(value instanceof Uint8Array))
    expect(values.length).toBe(8)
    for (const [value, { start, end }] of values) expect(octets.subarray(start, end)).toEqual(encodeData(value as Data))
  })
})

test('any octets give layers, and a fault in them at most', () => {
  const anyOctets = fc.oneof(
    fc.uint8Array({ maxLength: 200 }),
    fc.tuple(fc.nat(push.length - 1), fc.integer({ min: 0, max: 255 })).map(([at, octet]) => {
      const damaged = Uint8Array.from(push)
      damaged[at] = octet
      return damaged
    }),
  )
  fc.assert(
    fc.property(anyOctets, fc.constantFrom(...framings), (octets, framing) => {
      try {
        expect(typeof treeText(layersOf(octets, framing, () => push))).toBe('string')
      } catch (fault) {
        if (!(fault instanceof PeerError)) throw fault
        expect(fault.code).toMatch(/^FRAME_/)
      }
    }),
    { numRuns: 2_000 },
  )
})
