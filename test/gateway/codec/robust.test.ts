import { createSecretKey } from 'node:crypto'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { decodeApdu } from '#gateway/codec/apdu.ts'
import { decodeDateTime, utcSeconds } from '#gateway/codec/datetime.ts'
import { detectFraming, unframe } from '#gateway/codec/framing.ts'
import { frameHdlc } from '#gateway/codec/hdlc.ts'
import { frameMbus } from '#gateway/codec/mbus.ts'
import { parseObis } from '#gateway/codec/obis.ts'
import { framings } from '#gateway/codec/uplink.ts'
import { frameWrapper } from '#gateway/codec/wrapper.ts'
import { PeerError } from '#gateway/errors.ts'
import { parseSystemTitle, systemTitle } from '#gateway/model.ts'
import { explain } from '#gateway/readings/explain.ts'
import { interpret } from '#gateway/readings/interpret.ts'
import { decipherUnverified, gatewayPolicy, lenientPolicy, unprotect } from '#gateway/session/unprotect.ts'
import { protect } from '#simulator/protect.ts'
import { profilePush } from '#simulator/push.ts'
import { corpusCases, hasCorpus } from './corpus.ts'

const meter = parseSystemTitle('414d490000000001')
const key = createSecretKey(new Uint8Array(16))
const ak = new Uint8Array(16)
const plain = profilePush({
  invokeId: 1,
  at: 1_700_000_000,
  capturePeriod: 900,
  channels: [{ obis: parseObis('1-0:1.29.0'), scaler: 0, unit: 30 }],
  rows: [900, 1800, 2700].map((end) => ({ end, status: 0, values: [end, 2 ** 40].slice(0, 1) })),
})
const sealed = protect(plain, { systemTitle: meter, ek: key, ak, invocationCounter: 1 })
const ports = { destination: Uint8Array.of(3), source: Uint8Array.of(5), control: 0x13 }

const seeds: Uint8Array[] = [
  plain,
  sealed,
  frameHdlc(sealed, ports, 60),
  frameMbus(sealed, { control: 0x53, address: 0xff, source: 1, destination: 0x67 }),
  frameWrapper(plain, { source: 1, destination: 1 }),
  Buffer.from('/X\r\n\r\n1-0:1.8.0(000123.456*kWh)\r\n!\r\n'),
  ...(hasCorpus ? corpusCases().map(({ hex }) => Buffer.from(hex, 'hex')) : []),
]

/** Octets of no meter, and those of one with some exchanged, cut out or doubled. */
const anyOctets: fc.Arbitrary<Uint8Array> = fc.oneof(
  fc.uint8Array({ maxLength: 120 }),
  fc
    .uint8Array({ maxLength: 120 })
    .map((octets) => Uint8Array.of(0x0f, 0, 0, 0, 1, 0, 2, octets.length & 7, ...octets)),
  fc
    .tuple(
      fc.constantFrom(...seeds),
      fc.array(fc.tuple(fc.nat(), fc.nat(255), fc.constantFrom('put', 'cut', 'twice')), { maxLength: 4 }),
    )
    .map(([seed, changes]) =>
      changes.reduce<Uint8Array>((octets, [at, octet, how]) => changed(octets, at, octet, how), seed),
    ),
)

function changed(octets: Uint8Array, at: number, octet: number, how: string): Uint8Array {
  const i = octets.length === 0 ? 0 : at % octets.length
  if (how === 'put') return octets.map((one, j) => (j === i ? octet : one))
  const end = Math.min(octets.length, i + (octet % 32))
  const [before, middle, after] = [octets.subarray(0, i), octets.subarray(i, end), octets.subarray(end)]
  return Buffer.concat(how === 'cut' ? [before, after] : [before, middle, middle, after])
}

/** What an entry makes of octets: any exception but a `PeerError` goes through and fails the test. */
function tolerated(entry: () => unknown): void {
  try {
    entry()
  } catch (fault) {
    if (!(fault instanceof PeerError)) throw fault
  }
}

const security = { systemTitle: meter, ek: key, ak, lastCounter: 0 }

const entries: Record<string, (octets: Uint8Array) => unknown> = {
  decodeApdu: (octets) => decodeApdu(octets),
  detectFraming: (octets) => detectFraming(octets),
  interpret: (octets) => {
    const apdu = decodeApdu(octets)
    return apdu.apdu === 'data-notification' && interpret(apdu, meter)
  },
  unprotect: (octets) => {
    const apdu = decodeApdu(octets)
    if (apdu.apdu !== 'general-glo-ciphering') return
    for (const policy of [gatewayPolicy, lenientPolicy]) tolerated(() => unprotect(apdu, security, policy))
    return decipherUnverified(apdu, systemTitle(apdu.systemTitle), key)
  },
  dateTime: (octets) => utcSeconds(decodeDateTime(octets.subarray(0, 12))),
  ...Object.fromEntries(
    framings.map((framing) => [
      `explain ${framing}`,
      (octets: Uint8Array) =>
        explain(unframe(octets, framing).payloads, (apdu) => {
          if (apdu.apdu !== 'general-glo-ciphering') throw new PeerError('APDU_UNSUPPORTED', 'not opened here')
          return decipherUnverified(apdu, systemTitle(apdu.systemTitle), key)
        }),
    ]),
  ),
}

describe('any octets, of no meter or of a real one damaged, give a value or a PeerError', () => {
  test.each(Object.entries(entries))('%s', (_, entry) => {
    fc.assert(
      fc.property(anyOctets, (octets) => tolerated(() => entry(octets))),
      { numRuns: 1_500 },
    )
  })

  test('what is told to be large is refused before it is held', () => {
    const huge = [
      '0f00000001000184fffffff0',
      'db0884fffffff0',
      'e0c00001000084fffffff0',
      '0f0000000100130100ff01ffff0184fffffff000',
    ]
    for (const hex of huge) expect(() => decodeApdu(Buffer.from(hex, 'hex'))).toThrow(PeerError)
  })

  test('work grows with the octets: a quarter megabyte of nested and compact data is read or refused at once', () => {
    const nested = Buffer.alloc(262_000, Buffer.from('0201', 'hex'))
    const compact = Buffer.concat([
      Buffer.from('1302820100', 'hex'),
      Buffer.alloc(256),
      Buffer.from('8203e8', 'hex'),
      Buffer.alloc(1000),
    ])
    const flat = Buffer.concat([Buffer.from('018303ff00', 'hex'), Buffer.alloc(0x3ff00)])
    const begun = performance.now()
    for (const body of [nested, compact, flat]) {
      tolerated(() => decodeApdu(Buffer.concat([Buffer.from('0f0000000100', 'hex'), body])))
    }
    expect(performance.now() - begun).toBeLessThan(2_000)
  })
})
