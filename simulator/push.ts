import type { Data } from '#gateway/codec/axdr.ts'
import { encodeDateTime } from '#gateway/codec/datetime.ts'
import { encodeDataNotification } from '#gateway/codec/notification.ts'
import { encodeObis, parseObis } from '#gateway/codec/obis.ts'
import type { ExactInteger, Obis } from '#gateway/model.ts'

/** What a simulated meter pushes: one row or a day of them. */
export interface ProfilePush {
  /** long-invoke-id-and-priority, 0 to 2^32 - 1 */
  invokeId: number
  /** when it is sent, seconds since 1970-01-01T00:00Z */
  at: number
  /** seconds */
  capturePeriod: number
  channels: readonly { obis: Obis; scaler: number; unit: number }[]
  /** each with as many values as there are channels */
  rows: readonly ProfileRow[]
}

export interface ProfileRow {
  /** end of the interval, seconds since 1970-01-01T00:00Z */
  end: number
  /** the meter's status octet, 0 to 255 */
  status: number
  values: readonly ExactInteger[]
}

const pushList = parseObis('0-0:25.9.0')
const profile = parseObis('1-0:99.1.0')
const clock = parseObis('0-0:1.0.0')
const status = parseObis('0-0:96.10.1')

const classPush = 40
const classProfile = 7
const classRegister = 3
const classClock = 8
const classData = 1

type Attribute = readonly [classId: number, obis: Obis, attribute: number]

/**
 * A push in our own form, in the clear: the push object list, the profile's capture period and objects, each
 * channel's scaler and unit, and the rows. It says all that is needed to read it.
 * @see Blue Book, Push setup and Profile generic
 */
export function profilePush(push: ProfilePush): Uint8Array {
  const captured: Attribute[] = [
    [classClock, clock, 2],
    [classData, status, 2],
    ...push.channels.map(({ obis }): Attribute => [classRegister, obis, 2]),
  ]
  const objects: [Attribute, Data][] = [
    [[classProfile, profile, 4], { type: 'double-long-unsigned', value: push.capturePeriod }],
    [[classProfile, profile, 3], { type: 'array', elements: captured.map(descriptor) }],
    ...push.channels.map(({ obis, scaler, unit }): [Attribute, Data] => [
      [classRegister, obis, 3],
      structure({ type: 'integer', value: scaler }, { type: 'enum', value: unit }),
    ]),
    [[classProfile, profile, 2], { type: 'array', elements: rows(push) }],
  ]
  const named: Attribute[] = [[classPush, pushList, 2], ...objects.map(([attribute]) => attribute)]
  return encodeDataNotification({
    apdu: 'data-notification',
    longInvokeId: push.invokeId,
    dateTime: encodeDateTime(push.at),
    body: structure({ type: 'array', elements: named.map(descriptor) }, ...objects.map(([, data]) => data)),
    dialects: [],
  })
}

function structure(...elements: Data[]): Data {
  return { type: 'structure', elements }
}

function descriptor([classId, obis, attribute]: Attribute): Data {
  return structure(
    { type: 'long-unsigned', value: classId },
    { type: 'octet-string', octets: encodeObis(obis) },
    { type: 'integer', value: attribute },
    { type: 'long-unsigned', value: 0 },
  )
}

/** A clock that follows the one before by the capture period is null-data. @see Blue Book, null-data compression */
function rows({ rows, capturePeriod }: ProfilePush): Data[] {
  return rows.map(({ end, status, values }, i) => {
    const follows = i > 0 && end === rows[i - 1]!.end + capturePeriod
    const time: Data = follows ? { type: 'null-data' } : { type: 'octet-string', octets: encodeDateTime(end) }
    return structure(time, { type: 'unsigned', value: status }, ...values.map(integer))
  })
}

function integer(value: ExactInteger): Data {
  if (value < 0) return { type: 'long64', value: BigInt(value) }
  if (value <= 0xffffffff) return { type: 'double-long-unsigned', value: Number(value) }
  return { type: 'long64-unsigned', value: BigInt(value) }
}
