import { type Apdu, decodeApdu } from '../codec/apdu.ts'
import { type Data, encodeData } from '../codec/axdr.ts'
import { type GeneralBlockTransfer, reassemble } from '../codec/block.ts'
import { decodeDateTime, utcSeconds } from '../codec/datetime.ts'
import type { DataNotification, Dialect } from '../codec/notification.ts'
import { dottedObis } from '../codec/obis.ts'
import type { Payload } from '../codec/payload.ts'
import type { Ciphered } from '../codec/protection.ts'
import { PeerError } from '../errors.ts'
import { attributedValue, bareData, dataIn, isCarrier, statedTime } from './explain-apdu.ts'
import { BlockContents } from './explain-blocks.ts'
import { type MeterClock, zonedSeconds } from './local-time.ts'
import { knownUnit, type MeterProfile, namedList } from './meter-profile.ts'
import { type Profile, pushedProfiles } from './profile.ts'
import {
  classOf,
  elementsOf,
  listedValues,
  type PushedValue,
  type PushObject,
  pushedScalers,
  pushObjects,
} from './push.ts'
import { isScaled, objectValues } from './registers.ts'
import { isTelegram, readTelegram, telegramTime } from './telegram.ts'
import { unitSymbol } from './units.ts'

/** One value as it was sent. */
export interface ExplainedValue {
  /** all six groups, `1.0.1.8.0.255`; `null` where the meter sent no name and only the place tells */
  obis: string | null
  /**
   * A number as it is, beyond 2^53 its digits as text; visible text as text; octet-strings and dates as hex;
   * anything compound as the hex of its A-XDR; `null` for null-data.
   */
  value: number | string | boolean | null
  /** power of ten, `null` where none was sent */
  scaler: number | null
  unit: string | null
}

/**
 * Departures from the standard that were read through. `positional`: no value of a notification has a name; `bare-data`:
 * data without an APDU; `invalid-date-time`: a time that is none; the others are the decoders' own.
 */
export type ReadDialect = Dialect | 'short-lengths' | 'positional' | 'bare-data' | 'invalid-date-time'

/** What frames say, layer by layer. */
export interface Explanation {
  /** names, outermost first; blocks are transport and are not named */
  apdus: string[]
  /**
   * The first that an APDU states of itself (a notification, an event, an access-response), else the clock of a P1
   * telegram: in UTC with `Z`, local without where nothing tells how it lies to UTC, `null` where there is none. Clocks among
   * the values are values.
   */
  time: string | null
  values: ExplainedValue[]
  /** values without a name beside others with one in the same APDU: list versions, a clock in front */
  unnamed: ExplainedValue[]
  dialects: ReadDialect[]
}

/** Deciphers an APDU, or throws a `PeerError` that says why not. */
export type Opener = (apdu: Ciphered) => Uint8Array

/** A ciphered APDU in a ciphered APDU, and blocks in either: no meter goes deeper. */
export const layersMax = 4

/**
 * All that the payloads of one stream say, in wire order; units and places of a meter's profile where it is given. Offsets of faults count in the octets that were being
 * read: the stream's, or those deciphered or put together from blocks.
 * @throws PeerError `APDU_*`, `DATA_*`, `PUSH_FORM`, `FRAME_SEQUENCE`, `FRAME_TRUNCATED`, and what `open` throws
 */
export function explain(payloads: readonly Payload[], open: Opener, profile?: MeterProfile): Explanation {
  const explanation: Explanation = { apdus: [], time: null, values: [], unnamed: [], dialects: [] }
  try {
    explainLayer(explanation, payloads, { open, profile, layer: 0 })
  } catch (fault) {
    if (!(fault instanceof PeerError) || fault.offset !== undefined) throw fault
    throw new PeerError(fault.code, fault.message, { offset: payloads[0]?.offset ?? 0, cause: fault })
  }
  return explanation
}

interface Reading {
  open: Opener
  profile: MeterProfile | undefined
  /** APDUs around these */
  layer: number
}

function explainLayer(explanation: Explanation, payloads: readonly Payload[], reading: Reading): void {
  const inner = { ...reading, layer: reading.layer + 1 }
  if (reading.layer > layersMax) throw new PeerError('APDU_UNSUPPORTED', `more than ${layersMax} APDUs in each other`)
  const blocks: GeneralBlockTransfer[] = []
  const contents = new BlockContents()
  for (const { octets, offset } of payloads) {
    if (isTelegram(octets)) {
      explainTelegram(explanation, octets, reading.profile)
      continue
    }
    const bare = reading.layer === 0 ? bareData(octets) : undefined
    if (bare !== undefined) {
      explanation.dialects.push('bare-data')
      list(explanation, listedValues(bare))
      continue
    }
    const apdu = decodeApdu(octets, offset)
    if (apdu.apdu === 'general-block-transfer') {
      blocks.push(apdu)
      continue
    }
    explanation.apdus.push(apdu.apdu)
    if (apdu.apdu === 'data-notification') explainNotification(explanation, apdu, reading.profile)
    else if (isCarrier(apdu)) {
      explainLayer(explanation, [{ octets: apdu.content, offset: 0 }], inner)
    } else if ('securityControl' in apdu) {
      explainLayer(explanation, [{ octets: reading.open(apdu), offset: 0 }], inner)
    } else {
      explainData(explanation, apdu, reading.profile)
      list(explanation, contents.add(apdu).flatMap(listedValues))
    }
  }
  const whole = reassemble(blocks).map((octets) => ({ octets, offset: 0 }))
  if (whole.length > 0) explainLayer(explanation, whole, inner)
}

/** The data of any other APDU: read answers, events, parameters. What was asked for by name is answered without. */
function explainData(explanation: Explanation, apdu: Apdu, profile: MeterProfile | undefined): void {
  if ('dialect' in apdu && apdu.dialect !== undefined) explanation.dialects.push(apdu.dialect)
  stateTime(explanation, statedTime(apdu), profile)
  const attributed = attributedValue(apdu)
  list(explanation, attributed === undefined ? dataIn(apdu).flatMap(listedValues) : [attributed])
}

/** A time that is none says nothing of the values beside it: they are listed, and it is told. */
function stateTime(explanation: Explanation, octets: Uint8Array | undefined, profile: MeterProfile | undefined): void {
  try {
    explanation.time ??= timeText(octets, profile?.clock)
  } catch (fault) {
    if (!(fault instanceof PeerError)) throw fault
    explanation.dialects.push('invalid-date-time')
  }
}

/** @returns whether no value has a name: then they are listed all the same */
function list(explanation: Explanation, values: readonly PushedValue[]): boolean {
  const isNameless = values.length > 0 && values.every(({ obis }) => obis === undefined)
  for (const value of values) {
    const to = value.obis !== undefined || isNameless ? explanation.values : explanation.unnamed
    to.push(explainedValue(value))
  }
  return isNameless
}

function explainTelegram(explanation: Explanation, octets: Uint8Array, profile: MeterProfile | undefined): void {
  explanation.apdus.push('p1-ascii')
  const values = readTelegram(octets)
  explanation.time ??= telegramTime(values, profile?.clock)
  for (const { obis, value, scaler, unit } of values) {
    explanation.values.push({ obis: dottedObis(obis), value, scaler, unit })
  }
}

function explainNotification(
  explanation: Explanation,
  notification: DataNotification,
  profile: MeterProfile | undefined,
): void {
  stateTime(explanation, notification.dateTime, profile)
  explanation.dialects.push(...notification.dialects)
  if (list(explanation, pushedValues(notification.body, profile))) explanation.dialects.push('positional')
}

/**
 * Every value of a body in wire order; a profile's row by row. With a meter's profile those without a name or a unit have
 * the ones that it knows.
 * @throws PeerError `PUSH_FORM`
 */
export function pushedValues(body: Data, profile?: MeterProfile): PushedValue[] {
  const values = namedList(profile, body) ?? bodyValues(body, profile)
  if (profile === undefined) return values
  return values.map((value) => {
    const isValue = value.classId === undefined || isScaled(value)
    return isValue ? { ...value, scalerUnit: value.scalerUnit ?? knownUnit(profile, value.obis) } : value
  })
}

function bodyValues(body: Data, meterProfile: MeterProfile | undefined): PushedValue[] {
  const objects = pushObjects(body)
  if (objects === undefined) return listedValues(body)
  if (!areReadable(objects, meterProfile)) return objectValues(objects)
  const others = objects.filter(({ classId }) => classId !== classOf.profile)
  const profiles = pushedProfiles(objects, meterProfile)
  return [...objectValues(others), ...profiles.flatMap((profile) => cellValues(profile, objects))]
}

/** Whether there are buffers, and of each its columns are known: pushed with it, or by the meter's profile. */
function areReadable(objects: readonly PushObject[], meterProfile: MeterProfile | undefined): boolean {
  const ofProfiles = (attribute: number): PushObject[] =>
    objects.filter((object) => object.classId === classOf.profile && object.attribute === attribute)
  const columns = [...ofProfiles(3).map(({ obis }) => obis), ...(meterProfile?.buffers ?? []).map(({ code }) => code)]
  const known = new Set(columns)
  const buffers = ofProfiles(2)
  return buffers.length > 0 && buffers.every(({ obis }) => known.has(obis))
}

function cellValues({ rows, columns }: Profile, objects: readonly PushObject[]): PushedValue[] {
  const scalers = pushedScalers(objects)
  return rows.flatMap((row) =>
    elementsOf(row).map((data, i): PushedValue => {
      const column = columns[i]
      if (column === undefined) throw new PeerError('PUSH_FORM', `a row is not ${columns.length} columns`)
      const { classId, obis, attribute, kind } = column
      return { classId, obis, attribute, data, scalerUnit: kind === 'value' ? scalers.get(obis) : undefined }
    }),
  )
}

export function explainedValue({ obis, data, scalerUnit }: PushedValue): ExplainedValue {
  return {
    obis: obis === undefined ? null : dottedObis(obis),
    value: plainValue(data),
    scaler: scalerUnit?.scaler ?? null,
    unit: scalerUnit === undefined ? null : unitSymbol(scalerUnit.unit),
  }
}

function plainValue(data: Data): ExplainedValue['value'] {
  switch (data.type) {
    case 'null-data':
    case 'dont-care':
      return null
    case 'visible-string':
    case 'utf8-string':
      return new TextDecoder().decode(data.octets)
    case 'octet-string':
    case 'date-time':
    case 'date':
    case 'time':
    case 'bit-string':
      return hex(data.octets)
    case 'array':
    case 'structure':
    case 'compact-array':
      return hex(encodeData(data))
    case 'long64':
    case 'long64-unsigned':
      return Number.isSafeInteger(Number(data.value)) ? Number(data.value) : data.value.toString()
    default:
      return data.value
  }
}

function hex(octets: Uint8Array): string {
  return Buffer.from(octets.buffer, octets.byteOffset, octets.length).toString('hex')
}

/**
 * `2023-04-01T19:32:35Z`, with a fraction where hundredths were sent and are not zero; `2023-04-01T21:32:35`, by the
 * meter's own clock, where neither it nor its zone says how that lies to UTC.
 */
export function timeText(octets: Uint8Array | undefined, clock: MeterClock | undefined): string | null {
  if (octets === undefined) return null
  const time = decodeDateTime(octets)
  const isLocal = time.deviationMinutes === undefined
  const local = utcSeconds(isLocal ? { ...time, deviationMinutes: 0 } : time)
  if (local === undefined) return null
  const zoned = isLocal ? zonedSeconds(octets, clock) : local
  const text = new Date((zoned ?? local) * 1000 + (time.hundredths ?? 0) * 10).toISOString().replace('.000Z', 'Z')
  return zoned === undefined ? text.slice(0, -1) : text
}
