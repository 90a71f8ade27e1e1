import { createSecretKey, type KeyObject } from 'node:crypto'
import { encodeApdu } from '#gateway/codec/apdu.ts'
import { type Data, encodeData, type TypeDescription } from '#gateway/codec/axdr.ts'
import { encodeSealedBatch, encodeSeries, type SealedSeries } from '#gateway/codec/batch.ts'
import { encodeDateTime } from '#gateway/codec/datetime.ts'
import { encodeDownlink } from '#gateway/codec/downlink.ts'
import { parseObis } from '#gateway/codec/obis.ts'
import { encodeUplink } from '#gateway/codec/uplink.ts'
import { concentratorId, parseSystemTitle, type SystemTitle } from '#gateway/model.ts'
import { nextHeader } from '#gateway/oneway/seal.ts'
import { protect } from '#simulator/protect.ts'
import { profilePush } from '#simulator/push.ts'
import {
  a,
  attribute,
  clock,
  i8,
  name,
  newYear,
  nothing,
  notification,
  o,
  s,
  scale,
  text,
  u8,
  u16,
  u32,
  unit,
} from '#test/gateway/readings/build.ts'
import { datagramsOf } from '#test/support/datagrams.ts'

export const meter: SystemTitle = parseSystemTitle('414d490000000001')
export const ek: KeyObject = createSecretKey(new Uint8Array(16).fill(1))
export const ak: Uint8Array = new Uint8Array(16).fill(2)

const described: TypeDescription = {
  type: 'structure',
  elements: [{ type: 'octet-string' }, { type: 'array', count: 2, element: { type: 'long' } }, { type: 'null-data' }],
}
const long = (value: number): Data => ({ type: 'long', value })

/** One of every type, and those that nest. */
export const values: readonly Data[] = [
  nothing,
  s(u8(1), u16(2), u32(3), i8(-1), unit(30), text('kWh'), o('0100010800ff')),
  a(s(u8(1), nothing), s(u8(2), nothing)),
  { type: 'boolean', value: true },
  { type: 'bit-string', bits: 11, octets: Uint8Array.of(0xff, 0xe0) },
  { type: 'double-long', value: -5 },
  { type: 'long64', value: -(2n ** 60n) },
  { type: 'long64-unsigned', value: 2n ** 63n },
  { type: 'float32', value: 1.5 },
  { type: 'float64', value: -2.5e300 },
  { type: 'date-time', octets: encodeDateTime(newYear) },
  { type: 'date', octets: encodeDateTime(newYear).subarray(0, 5) },
  { type: 'time', octets: Uint8Array.of(1, 2, 3, 0) },
  { type: 'bcd', value: 0x12 },
  { type: 'delta-long', value: -3 },
  {
    type: 'compact-array',
    description: described,
    elements: [1, 2].map((n) => s(o('0a0b'), a(long(n), long(n)), nothing)),
  },
]

const energy = parseObis('1-0:1.8.0')
const push = (rows: readonly number[]): Uint8Array =>
  profilePush({
    invokeId: 1,
    at: newYear,
    capturePeriod: 900,
    channels: [energy, parseObis('1-0:2.8.0')].map((obis) => ({ obis, scaler: 0, unit: 30 })),
    rows: rows.map((n) => ({ end: newYear + n * 900, status: n & 1, values: [n * 7, 2 ** 40 + n] })),
  })

const listed = s(
  name('0-0:25.9.0'),
  clock(newYear),
  name('1-0:1.8.0'),
  u32(5),
  scale(0, 30),
  name('1-0:2.8.0'),
  u32(6),
  i8(0),
  unit(30),
)
const objects = s(
  a(
    attribute(40, '0-0:25.9.0', 2),
    attribute(8, '0-0:1.0.0', 2),
    attribute(3, '1-0:1.8.0', 2),
    attribute(3, '1-0:1.8.0', 3),
  ),
  clock(newYear),
  u32(77),
  scale(-1, 30),
)
const inline = s(u16(3), name('1-0:1.8.0'), i8(2), u32(9), scale(0, 30))
/** `09 0C` in front of the time, and descriptors without tags: dialects that the encoder does not write. */
const dialects = [
  `0f00000001090c${Buffer.from(encodeDateTime(newYear)).toString('hex')}0202${'0600000001'.repeat(2)}`,
  '0f0000000100020216010101020200030100010800ff020600000005',
].map((hex) => Uint8Array.from(Buffer.from(hex, 'hex')))

/** Data-notifications of the forms that are read, in the clear. */
export const notifications: readonly Uint8Array[] = [
  push([1, 2, 3]),
  ...[listed, objects, inline, a(listed), s(text('KFM_001'), u32(1))].map((body) => encodeApdu(notification(body))),
  ...values.map((value) => encodeApdu(notification(value, undefined))),
  ...dialects,
]

export function sealed(plain: Uint8Array, invocationCounter = 1): Uint8Array {
  return protect(plain, { systemTitle: meter, ek, ak, invocationCounter })
}

export function blocks(octets: Uint8Array, size = 40): Uint8Array[] {
  const count = Math.max(1, Math.ceil(octets.length / size))
  return Array.from({ length: count }, (_, i) =>
    encodeApdu({
      apdu: 'general-block-transfer',
      last: i === count - 1,
      streaming: true,
      window: 1,
      number: i + 1,
      acknowledged: 0,
      block: octets.subarray(i * size, (i + 1) * size),
    }),
  )
}

export const apdus: readonly Uint8Array[] = [...notifications, sealed(notifications[0]!), ...blocks(notifications[1]!)]

/** One of each kind of service, association and protection: what they hold is for mutation to find. */
export const services: readonly Uint8Array[] = [
  'c001c1000301000108 00ff0200',
  'c001c1000701000163 00ff0201 01 02 04 02 04 12 0008 09 06 0000010000ff 0f 02 12 0000 09 0c 07e8010101000000 00003c00 09 0c 07e8010201000000 00003c00 01 00',
  'c002c1 00000001',
  'c003c1 02 0003 0100010800ff 02 00 0008 0000010000ff 02 00',
  'c401c1 00 0600000005',
  'c402c1 01 00000001 00 04 01020304',
  'c403c1 02 00 1200ff 01 04',
  'c101c1 0008 0000010000ff 02 00 11 05',
  'c102c1 0008 0000010000ff 02 00 01 00000001 02 1105',
  'c501c1 00',
  'c502c1 00000001',
  'c301c1 000f 0000280000ff 01 01 0903 010203',
  'c701c1 00 01 00 0902 0102',
  'c200 0003 0100010800ff 02 06 00000005',
  '10 00000001 00',
  'd8 01 01',
  '0e 01 06 01',
  'd9 00000001 00 02 01 0003 0100010800ff 02 01 0003 0100020800ff 02 02 00 00',
  'da 00000001 00 00 02 0600000005 00 02 01 00 01 00',
  'e6 00 01 10 c001c100030100010800ff0200',
  'e7 00 00 c401c1000600000005',
  '60 1d a109 0607 60857405080101 be10 040e 01000000065f1f0400007e1f04b0',
  '61 29 a109 0607 60857405080101 a203 020100 a305 a103 020100 be10 040e 0800065f1f040000501f04b00007',
  '62 03 80 01 00',
  '63 03 80 01 00',
  '01 00 00 00 06 5f1f04 00007e1f 04b0',
  '08 00 06 5f1f04 0000501f 04b0 0007',
  '05 01 02 0008',
  '0c 01 00 1200ff',
  'c8 0a 30 00000001 0102030405',
  'dc 08 414d490000000001 0a 30 00000001 0102030405',
  'dd 08 0000000000000001 08 414d490000000001 00 00 00 00 0a 30 00000001 0102030405',
  'df 08 0000000000000001 08 414d490000000001 00 00 00 03 c00102 00',
].map((hex) => Uint8Array.from(Buffer.from(hex.replaceAll(' ', ''), 'hex')))

export const telegram: Uint8Array = Buffer.from(
  '/X\r\n\r\n1-0:1.8.0(000123.456*kWh)\r\n0-0:96.1.1(4B)\r\n1-0:2.8.0(7*kWh)\r\n!\r\n',
)

export const encodedValues: readonly Uint8Array[] = values.map(encodeData)

const frame = (apdu: Uint8Array) => ({
  systemTitle: meter,
  framing: 'hdlc' as const,
  apdu,
  receivedAtMs: newYear * 1000,
  link: { lqi: 60, hops: 2 },
})
const envelope = { concentrator: concentratorId('c-1'), sequence: 7, sentAtMs: newYear * 1000 }
export const uplinks: readonly Uint8Array[] = [
  encodeUplink({ ...envelope, body: { kind: 'reading-batch', frames: [frame(Uint8Array.of(1, 2)), frame(telegram)] } }),
  encodeUplink({
    ...envelope,
    body: { kind: 'heartbeat', uptimeSeconds: 2 ** 40, metersRegistered: 3, framesWaiting: 4 },
  }),
  encodeUplink({ ...envelope, body: { kind: 'event', octets: Uint8Array.of(8, 1) } }),
  encodeUplink({
    ...envelope,
    body: { kind: 'command-result', commandId: new Uint8Array(16).fill(7), status: 1, apdu: Uint8Array.of(0, 1, 0) },
  }),
]

const series = (count: number, rest: Partial<SealedSeries>): Uint8Array =>
  encodeSeries({
    meter,
    obis: energy,
    scaler: -1,
    unit: 30,
    ends: Array.from({ length: count }, (_, i) => newYear + i * 900),
    values: Array.from({ length: count }, (_, i) => i - 1),
    qualities: Array(count).fill(0),
    revisions: Array(count).fill(0),
    ...rest,
  })

/** A batch over these leaves whose header goes with them; its signature is not looked at here. */
export function batchOf(leaves: readonly Uint8Array[], readingCount: number, sequence = 1): Uint8Array {
  const digest = new Uint8Array(sequence === 1 ? 0 : 32)
  const head = { epoch: 9, sequence: sequence - 1, digest }
  const header = nextHeader(head, { series: leaves, readingCount, createdAtMs: newYear * 1000 })
  return encodeSealedBatch({ header, signature: Uint8Array.of(0x30, 0), series: [...leaves] })
}

export const batches: readonly Uint8Array[] = [
  batchOf([series(1, {})], 1),
  batchOf([series(3, { qualities: [1, 2, 4] }), series(1, { values: [2n ** 62n], revisions: [3] })], 4, 2),
]

const object = new Uint8Array(100).map((_, i) => i)
export const datagrams: readonly Uint8Array[] = [0, 0.1].flatMap((lossShare) =>
  datagramsOf(object, { epoch: 9, sequence: 5, symbolOctets: 32, lossShare }),
)

export const downlinks: readonly Uint8Array[] = (['apdu', 'wrapper'] as const).map((framing) =>
  encodeDownlink({
    commandId: new Uint8Array(16).fill(7),
    expiresAtMs: 1_780_272_000_000,
    meter,
    framing,
    apdu: services[0]!,
  }),
)
