import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { decodeApdu } from '#gateway/codec/apdu.ts'
import { detectFraming, unframe, unframeAuto } from '#gateway/codec/framing.ts'
import { encodeHdlcFrame, frameHdlc, unframeHdlc } from '#gateway/codec/hdlc.ts'
import { decodeLinkParameters, encodeLinkParameters } from '#gateway/codec/hdlc-parameters.ts'
import { frameMbus, unframeMbus } from '#gateway/codec/mbus.ts'
import type { SeenFrame, Unframed } from '#gateway/codec/payload.ts'
import { frameWrapper, unframeWrapper } from '#gateway/codec/wrapper.ts'
import { PeerError, type PeerFault } from '#gateway/errors.ts'

const apdu = fc.uint8Array({ minLength: 1, maxLength: 600 })
const address = fc.constantFrom([0x03], [0xce, 0xff], [0x00, 0x02, 0x24, 0x55]).map((octets) => Uint8Array.from(octets))
const ui = 0x13
const ports = { destination: Uint8Array.of(0x41), source: Uint8Array.of(0x08, 0x83), control: ui }
const mbusFields = { control: 0x53, address: 0xff, source: 0x01, destination: 0x67 }

function hex(octets: Uint8Array): string {
  return Buffer.from(octets).toString('hex')
}

function found({ payloads }: Unframed): string[] {
  return payloads.map(({ octets }) => hex(octets))
}

function codes({ faults }: Unframed): PeerFault[] {
  return faults.map(({ code }) => code)
}

function flipped(octets: Uint8Array, at: number): Uint8Array {
  return octets.map((octet, i) => (i === at ? octet ^ 0x20 : octet))
}

/** How each framing puts payloads on the line, one behind the other. */
const framers = {
  hdlc: (payload: Uint8Array) => frameHdlc(payload, ports, 100),
  mbus: (payload: Uint8Array) => frameMbus(payload, mbusFields, 90),
  wrapper: (payload: Uint8Array) => frameWrapper(payload, { source: 1, destination: 1 }),
} as const
const kinds = ['hdlc', 'mbus', 'wrapper'] as const

describe.each(kinds)('%s', (kind) => {
  test('payloads come back from their frames, segmented or not', () => {
    fc.assert(
      fc.property(fc.array(apdu, { minLength: 1, maxLength: 4 }), (payloads) => {
        const stream = Buffer.concat(payloads.map(framers[kind]))
        expect(detectFraming(stream)).toBe(kind)
        const unframed = unframe(stream, kind)
        expect(found(unframed)).toEqual(payloads.map(hex))
        expect(unframed.faults).toEqual([])
      }),
    )
  })

  test('any octets give payloads and PeerErrors', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 300 }), (octets) => {
        try {
          unframe(octets, kind).faults.every((fault) => expect(fault).toMatchObject({ name: 'PeerError' }))
        } catch (fault) {
          expect(fault).toMatchObject({ name: 'PeerError', offset: expect.any(Number) })
        }
      }),
      { numRuns: 500 },
    )
  })
})

describe('frames with a checksum', () => {
  test.each(['hdlc', 'mbus'] as const)('%s: a damaged octet never makes another payload', (kind) => {
    fc.assert(
      fc.property(fc.array(apdu, { minLength: 1, maxLength: 3 }), fc.nat(), (payloads, at) => {
        const stream = Buffer.concat(payloads.map(framers[kind]))
        const unframed =
          kind === 'hdlc'
            ? unframeHdlc(flipped(stream, at % stream.length))
            : unframeMbus(flipped(stream, at % stream.length))
        const sent = payloads.map(hex)
        for (const payload of found(unframed)) expect(sent).toContain(payload)
        expect(unframed.payloads.length).toBeGreaterThanOrEqual(payloads.length - 2)
      }),
      { numRuns: 300 },
    )
  })

  test.each(['hdlc', 'mbus'] as const)(
    '%s: a stream that begins anywhere gives the whole payloads that follow',
    (kind) => {
      fc.assert(
        fc.property(apdu, apdu, fc.nat(), (first, second, at) => {
          const start = framers[kind](first)
          const stream = Buffer.concat([start.subarray(1 + (at % start.length)), framers[kind](second)])
          expect(found(unframe(stream, kind)).at(-1)).toBe(hex(second))
        }),
      )
    },
  )

  test('a lost segment takes its payload with it and no other', () => {
    const payload = new Uint8Array(250).fill(7)
    const [one, other] = [frameHdlc(payload, ports, 100), frameHdlc(Uint8Array.of(1, 2), ports)]
    const second = one.indexOf(0x7e, 20) + 1
    const damaged = Buffer.concat([flipped(one, second + 40), other])
    expect(found(unframeHdlc(damaged))).toEqual(['0102'])
    expect(codes(unframeHdlc(damaged))).toEqual(['FRAME_CHECKSUM'])
  })

  test('frames without LLC headers are found again behind the end of a lost payload', () => {
    const part = (octet: number, segmented: boolean) =>
      encodeHdlcFrame({ ...ports, segmented, information: Uint8Array.of(octet) })
    const stream = [part(1, true), flipped(part(2, true), 10), part(3, false), part(4, true), part(5, false)]
    expect(found(unframeHdlc(Buffer.concat(stream)))).toEqual(['0405'])
  })

  test('an M-Bus segment out of turn is a fault', () => {
    const payload = new Uint8Array(250).map((_, i) => i)
    const segments = [0, 1, 2].map((i) => frameMbus(payload, mbusFields, 90).subarray(i * 101, (i + 1) * 101))
    expect(found(unframeMbus(Buffer.concat(segments)))).toEqual([hex(payload)])
    expect(codes(unframeMbus(Buffer.concat([segments[0]!, segments[2]!])))).toEqual(['FRAME_SEQUENCE'])
    expect(codes(unframeMbus(segments[0]!))).toEqual(['FRAME_TRUNCATED'])
    const again = unframeMbus(Buffer.concat([segments[0]!, ...segments]))
    expect([found(again), codes(again)]).toEqual([[hex(payload)], ['FRAME_TRUNCATED']])
  })

  test('an M-Bus payload broken off where the count begins again does not take the next with it', () => {
    const whole = frameMbus(new Uint8Array(170), mbusFields, 10)
    const broken = flipped(whole.subarray(0, 17 * 21), 16 * 21 + 12)
    const stream = Buffer.concat([broken, frameMbus(Uint8Array.of(1, 2), mbusFields)])
    expect(found(unframeMbus(stream))).toEqual(['0102'])
    expect(codes(unframeMbus(stream))).toEqual(['FRAME_CHECKSUM'])
  })

  test('more than sixteen M-Bus segments count on from zero', () => {
    const payload = new Uint8Array(200).map((_, i) => i)
    expect(found(unframeMbus(frameMbus(payload, mbusFields, 10)))).toEqual([hex(payload)])
  })
})

describe('hdlc', () => {
  test('addresses of one, two and four octets are read', () => {
    fc.assert(
      fc.property(address, address, apdu, (destination, source, octets) => {
        const information = Uint8Array.of(0x0f, ...octets)
        const frame = encodeHdlcFrame({ destination, source, control: ui, segmented: false, information })
        expect(found(unframeHdlc(frame))).toEqual([hex(information)])
      }),
    )
  })

  test('flags and escapes inside a frame are data', () => {
    const payload = Uint8Array.of(0x7e, 0x7e, 0xa0, 0x7d, 0x5e, 0x7e)
    expect(found(unframeHdlc(frameHdlc(payload, ports)))).toEqual([hex(payload)])
  })

  test('one flag may close a frame and open the next, and more may stand between', () => {
    const frame = frameHdlc(Uint8Array.of(1), ports)
    const shared = Buffer.concat([frame.subarray(0, -1), frame])
    const idle = Buffer.concat([frame, Buffer.of(0x7e, 0x7e, 0x7e), frame])
    expect([found(unframeHdlc(shared)), found(unframeHdlc(idle))]).toEqual([
      ['01', '01'],
      ['01', '01'],
    ])
  })

  test('link control carries no payload', () => {
    const ua = encodeHdlcFrame({ ...ports, control: 0x73, segmented: false, information: Uint8Array.of(0x81, 0x80, 0) })
    const rr = encodeHdlcFrame({ ...ports, control: 0x51, segmented: false, information: new Uint8Array() })
    expect(unframeHdlc(Buffer.concat([ua, rr]))).toEqual({ payloads: [], frames: 2, faults: [] })
  })

  test.each<[string, (frame: Uint8Array) => Uint8Array, PeerFault]>([
    ['another format type', (frame) => flipped(frame, 1), 'FRAME_FORMAT'],
    ['a length too long', (frame) => frame.map((octet, i) => (i === 2 ? 0x7f : octet)), 'FRAME_TRUNCATED'],
    ['a length too short', (frame) => frame.map((octet, i) => (i === 2 ? octet - 1 : octet)), 'FRAME_LENGTH'],
    ['a damaged header', (frame) => flipped(frame, 6), 'FRAME_CHECKSUM'],
    ['damaged information', (frame) => flipped(frame, 12), 'FRAME_CHECKSUM'],
    ['its end missing', (frame) => frame.subarray(0, -2), 'FRAME_TRUNCATED'],
  ])('with %s is refused', (_, damage, code) => {
    const frame = frameHdlc(Uint8Array.of(1, 2, 3, 4), ports)
    expect(() => unframe(damage(frame), 'hdlc')).toThrow(expect.objectContaining({ code, offset: 0 }))
  })

  test('a megabyte of flags and of half frames is searched in one pass', () => {
    for (const pattern of [[0x7e], [0x7e, 0xa7], [0x7e, 0xa7, 0xff], [0x7e, 0xa0, 0x08, 0x03, 0x03, 0x13]]) {
      const stream = Buffer.alloc(1_048_576, Buffer.from(pattern))
      const begun = performance.now()
      expect(unframeHdlc(stream).payloads).toEqual([])
      expect(performance.now() - begun).toBeLessThan(5_000)
    }
  })
})

describe('wrapper', () => {
  test.each<[string, string, PeerFault]>([
    ['another version', '000200010001000100', 'FRAME_FORMAT'],
    ['half a header', '00010001', 'FRAME_TRUNCATED'],
    ['less than it tells', '000100010001000200', 'FRAME_TRUNCATED'],
  ])('with %s is refused', (_, octets, code) => {
    expect(() => unframe(Buffer.from(octets, 'hex'), 'wrapper')).toThrow(expect.objectContaining({ code, offset: 0 }))
  })

  test('what came before a broken one is kept', () => {
    const unframed = unframeWrapper(Buffer.from('00010001000100010f0002', 'hex'))
    expect([found(unframed), codes(unframed)]).toEqual([['0f'], ['FRAME_TRUNCATED']])
  })
})

describe('detection', () => {
  test('an APDU is known by its tag, with or without an LLC header', () => {
    expect(detectFraming(Uint8Array.of(0x0f, 0))).toBe('apdu')
    expect(
      unframe(Uint8Array.of(0xe6, 0xe7, 0x00, 0x0f), detectFraming(Uint8Array.of(0xe6, 0xe7, 0x00, 0x0f))).payloads,
    ).toEqual([{ octets: Uint8Array.of(0x0f), offset: 3 }])
  })

  test('what is nothing is refused', () => {
    expect(() => detectFraming(Uint8Array.of(0xff, 0xff))).toThrow(expect.objectContaining({ code: 'FRAME_UNKNOWN' }))
    expect(() => detectFraming(new Uint8Array())).toThrow(expect.objectContaining({ code: 'FRAME_UNKNOWN' }))
    expect(() => unframe(Uint8Array.of(1, 2), 'mbus')).toThrow(expect.objectContaining({ code: 'FRAME_UNKNOWN' }))
  })
})

test('the last flag of a stream may be missing, but no octet before it', () => {
  fc.assert(
    fc.property(apdu, (payload) => {
      const stream = frameHdlc(payload, ports, 100)
      expect(found(unframeHdlc(stream.subarray(0, -1)))).toEqual([hex(payload)])
      const cut = unframeHdlc(stream.subarray(0, -2))
      expect([found(cut), codes(cut).at(-1)]).toEqual([[], 'FRAME_TRUNCATED'])
    }),
  )
})

function isApdu(octets: Uint8Array): boolean {
  try {
    decodeApdu(octets)
    return true
  } catch {
    return false
  }
}

describe('auto', () => {
  /** Whole where it is read: a data-notification without a time. */
  const push = Buffer.from('0f00000001000203' + '09060100010800ff' + '0600000007' + '02020f00161e', 'hex')
  const noise = fc
    .uint8Array({ minLength: 1, maxLength: 40 })
    .filter((octets) => !octets.includes(0x7e) && !octets.includes(0x68))

  test('finds the frames behind noise, also behind such as looks like an APDU or another frame', () => {
    fc.assert(
      fc.property(fc.constantFrom('hdlc' as const, 'mbus' as const), noise, (kind, before) => {
        const stream = Buffer.concat([before, framers[kind](push), before, framers[kind](push)])
        fc.pre(!isApdu(stream)) // a tag and the length of just all that follows is no noise
        const { payloads } = unframeAuto(stream)
        expect(payloads.map(({ octets }) => hex(octets))).toEqual([hex(push), hex(push)])
      }),
      { numRuns: 1_000, examples: [['mbus', Uint8Array.of(0xe6)]] },
    )
    for (const first of [0x0f, 0xc4, 0xdb, 0x2f, 0x01, 0x7e, 0x68, 0xe6]) {
      expect(found(unframeAuto(Buffer.concat([Uint8Array.of(first, 0, 1), framers.hdlc(push)])))).toEqual([hex(push)])
    }
  })

  test.each(['hdlc', 'mbus'] as const)('takes %s frames out of a wrapper, with offsets in the stream', (kind) => {
    const seen: SeenFrame[] = []
    const stream = framers.wrapper(framers[kind](push))
    const { payloads } = unframeAuto(stream, (frame) => seen.push(frame))
    expect(payloads.map(({ octets }) => hex(octets))).toEqual([hex(push)])
    expect(stream.subarray(payloads[0]!.offset, payloads[0]!.offset + push.length)).toEqual(new Uint8Array(push))
    expect(seen.map(({ framing, offset }) => [framing, offset])).toEqual([
      ['wrapper', 0],
      [kind, 8],
    ])
  })

  test('leaves an APDU alone, and says what framing it was where nothing holds', () => {
    expect(found(unframeAuto(push))).toEqual([hex(push)])
    expect(found(unframeAuto(Buffer.concat([Uint8Array.of(0xe6, 0xe7, 0), push])))).toEqual([hex(push)])
    const cut = framers.hdlc(push).subarray(0, 20)
    expect(() => unframeAuto(cut)).toThrow(expect.objectContaining({ code: 'FRAME_TRUNCATED' }))
    expect(() => unframeAuto(Uint8Array.of(0xff))).toThrow(expect.objectContaining({ code: 'FRAME_UNKNOWN' }))
  })

  test('takes data without an APDU', () => {
    expect(found(unframeAuto(Uint8Array.of(2, 1, 17, 7)))).toEqual(['02011107'])
    expect(() => unframeAuto(Uint8Array.of(2, 1, 17, 7, 0))).toThrow(expect.objectContaining({ code: 'FRAME_UNKNOWN' }))
  })

  test('any octets give payloads and PeerErrors', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (octets) => {
        try {
          unframeAuto(octets)
        } catch (fault) {
          expect(fault).toBeInstanceOf(PeerError)
        }
      }),
      { numRuns: 500 },
    )
  })
})

describe('parameters of a data link', () => {
  test('come back as they were', () => {
    const size = fc.option(fc.integer({ min: 1, max: 2030 }), { nil: undefined })
    const window = fc.option(fc.integer({ min: 1, max: 7 }), { nil: undefined })
    const parameters = fc.record({
      transmitOctetsMax: size,
      receiveOctetsMax: size,
      transmitWindow: window,
      receiveWindow: window,
    })
    fc.assert(
      fc.property(parameters, (some) => {
        const told = Object.fromEntries(Object.entries(some).filter(([, value]) => value !== undefined))
        expect(decodeLinkParameters(encodeLinkParameters(told))).toEqual(told)
      }),
    )
  })

  test.each([
    ['another format', '82800105', 'FRAME_FORMAT'],
    ['a group that ends too soon', '8180040501', 'APDU_TRUNCATED'],
    ['a value of no octets', '8180020500', 'FRAME_FORMAT'],
    ['octets behind them', '8180030501 8000'.replace(' ', ''), 'APDU_TRAILING'],
  ])('with %s are refused', (_, octets, code) => {
    expect(() => decodeLinkParameters(Buffer.from(octets, 'hex'))).toThrow(expect.objectContaining({ code }))
  })

  test('one that is not known is passed over', () => {
    expect(decodeLinkParameters(Buffer.from('81800609010105013e', 'hex'))).toEqual({ transmitOctetsMax: 62 })
  })
})
