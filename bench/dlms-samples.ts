import { createCipheriv, createSecretKey, type KeyObject } from 'node:crypto'
import type { Data, TypeDescription } from '#gateway/codec/axdr.ts'
import {
  additionalData,
  encodeGeneralGloCiphering,
  nonce,
  securityControl,
  tagOctets,
} from '#gateway/codec/ciphering.ts'
import { encodeDateTime } from '#gateway/codec/datetime.ts'
import { encodeDataNotification } from '#gateway/codec/notification.ts'
import { encodeObis, parseObis } from '#gateway/codec/obis.ts'
import { type Obis, parseSystemTitle, type SystemTitle } from '#gateway/model.ts'
import { profilePush } from '#simulator/push.ts'

/** What is pushed, and how many readings it holds. */
export interface Shape {
  name: string
  readings: number
  /** read as if none like it had come before */
  isFirst?: boolean
  /** the data-notification of the `n`th meter, in the clear */
  push(n: number): Uint8Array
}

/** One ciphered APDU, and the same taken apart for `node:crypto`. */
export interface Sample {
  title: SystemTitle
  ek: KeyObject
  ak: Uint8Array
  /** in the clear */
  plain: Uint8Array
  /** general-glo-ciphering */
  apdu: Uint8Array
  iv: Uint8Array
  aad: Uint8Array
  body: Uint8Array
  tag: Uint8Array
}

/** 2024-01-01T00:00Z */
const newYear = 1_704_067_200
const quarter = 900
const rowsOfDay = 96
/** import and export, as the simulated meters have them */
const channels: readonly Obis[] = ['1-0:1.29.0', '1-0:2.29.0'].map(parseObis)
const described = channels.map((obis) => ({ obis, scaler: 0, unit: 30 }))

const energyWh = (meter: number, row: number, channel: number): number =>
  (meter * 7_919 + row * 104_729 + channel * 31) % 50_000

function rowsPush(n: number, count: number): Uint8Array {
  const rows = Array.from({ length: count }, (_, row) => ({
    end: newYear + (row + 1) * quarter,
    status: 0,
    values: channels.map((_, channel) => energyWh(n, row, channel)),
  }))
  return profilePush({ invokeId: n, at: newYear + 86_400, capturePeriod: quarter, channels: described, rows })
}

/** Names, values, scalers and units side by side under the notification's own time: the shortest push that tells all. */
function registersPush(n: number): Uint8Array {
  const body = structure(
    ...channels.flatMap((obis, channel): Data[] => [
      { type: 'octet-string', octets: encodeObis(obis) },
      { type: 'double-long-unsigned', value: energyWh(n, 0, channel) },
      structure({ type: 'integer', value: 0 }, { type: 'enum', value: 30 }),
    ]),
  )
  const dateTime = encodeDateTime(newYear + quarter)
  return encodeDataNotification({ apdu: 'data-notification', longInvokeId: n, dateTime, body, dialects: [] })
}

/** Clock, status and each channel; the clock of every row is told, for a described element cannot be left out. */
const rowDescription: TypeDescription = {
  type: 'structure',
  elements: [
    { type: 'octet-string' },
    { type: 'unsigned' },
    ...channels.map(() => ({ type: 'double-long-unsigned' }) as const),
  ],
}

function compactPush(n: number): Uint8Array {
  const rows = Array.from({ length: rowsOfDay }, (_, row) =>
    structure(
      { type: 'octet-string', octets: encodeDateTime(newYear + (row + 1) * quarter) },
      { type: 'unsigned', value: 0 },
      ...channels.map((_, channel): Data => ({ type: 'double-long-unsigned', value: energyWh(n, row, channel) })),
    ),
  )
  const profile = '1-0:99.1.0'
  const captured = [
    attribute(8, '0-0:1.0.0', 2),
    attribute(1, '0-0:96.10.1', 2),
    ...channels.map((obis) => attribute(3, obis, 2)),
  ]
  const objects: [Data, Data][] = [
    [attribute(7, profile, 3), { type: 'array', elements: captured }],
    ...channels.map((obis): [Data, Data] => [
      attribute(3, obis, 3),
      structure({ type: 'integer', value: 0 }, { type: 'enum', value: 30 }),
    ]),
    [attribute(7, profile, 2), { type: 'compact-array', description: rowDescription, elements: rows }],
  ]
  const list: Data = { type: 'array', elements: [attribute(40, '0-0:25.9.0', 2), ...objects.map(([named]) => named)] }
  const body = structure(list, ...objects.map(([, data]) => data))
  const dateTime = encodeDateTime(newYear + 86_400)
  return encodeDataNotification({ apdu: 'data-notification', longInvokeId: n, dateTime, body, dialects: [] })
}

function structure(...elements: Data[]): Data {
  return { type: 'structure', elements }
}

function attribute(classId: number, name: string, index: number): Data {
  return structure(
    { type: 'long-unsigned', value: classId },
    { type: 'octet-string', octets: encodeObis(parseObis(name)) },
    { type: 'integer', value: index },
    { type: 'long-unsigned', value: 0 },
  )
}

export const shapes: readonly Shape[] = [
  { name: 'registers push', readings: channels.length, push: registersPush },
  { name: 'one-row push', readings: channels.length, push: (n) => rowsPush(n, 1) },
  { name: 'one-row, first', readings: channels.length, isFirst: true, push: (n) => rowsPush(n, 1) },
  { name: '96-row profile', readings: rowsOfDay * channels.length, push: (n) => rowsPush(n, rowsOfDay) },
  { name: 'compact-array', readings: rowsOfDay * channels.length, push: compactPush },
]

/** The push of the `n`th meter, ciphered and authenticated with keys of its own. @param suite 0, 1 or 2 */
export function sampleOf({ push }: Shape, suite: number, n: number): Sample {
  const title = parseSystemTitle((0x414d490000000000n + BigInt(n)).toString(16))
  const keyOctets = suite === 2 ? 32 : 16
  const ek = createSecretKey(new Uint8Array(keyOctets).fill(n + 1))
  const ak = new Uint8Array(keyOctets).fill(n + 2)
  const control = securityControl.authenticated | securityControl.encrypted | suite
  const iv = nonce(Buffer.from(title, 'hex'), n + 1)
  const aad = additionalData(control, ak)
  const gcm = createCipheriv(cipherOf(suite), ek, iv, { authTagLength: tagOctets })
  gcm.setAAD(aad)
  const plain = push(n)
  const body = Buffer.concat([gcm.update(plain), gcm.final()])
  const tag = gcm.getAuthTag()
  const apdu = encodeGeneralGloCiphering({
    apdu: 'general-glo-ciphering',
    systemTitle: Buffer.from(title, 'hex'),
    securityControl: control,
    invocationCounter: n + 1,
    content: Buffer.concat([body, tag]),
  })
  return { title, ek, ak, plain, apdu, iv, aad, body, tag }
}

/** @param suite 0, 1 or 2 */
export function cipherOf(suite: number): 'aes-128-gcm' | 'aes-256-gcm' {
  return suite === 2 ? 'aes-256-gcm' : 'aes-128-gcm'
}
