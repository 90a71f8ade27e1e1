import { clockStatus, decodeDateTime, utcSeconds } from '../codec/datetime.ts'
import { parseObis } from '../codec/obis.ts'
import { isTelegram } from '../codec/telegrams.ts'
import { PeerError } from '../errors.ts'
import type { Obis } from '../model.ts'
import { type MeterClock, zonedSeconds } from './local-time.ts'

export { isTelegram } from '../codec/telegrams.ts'

/** One value of a P1 telegram; where it has a decimal point, the places behind it become the scaler. */
export interface TelegramValue {
  obis: Obis
  value: number | string
  scaler: number | null
  unit: string | null
  /** when it was captured, `YYMMDDhhmmss` and `S` or `W`, where the line tells it */
  captured?: string
}

/** The reduced code of an electricity meter's own readout, `1.8.0` or `32.7`, stands for `1-0:1.8.0`, `1-0:32.7.0`. @see IEC 62056-21, data lines */
const line = /^(?:(\d{1,3}-\d{1,3}):)?(\d{1,3}\.\d{1,3})(\.\d{1,3})?(\*\d{1,3})?((?:\([^()]*\))+)$/
/** In front of the first data line of a readout. */
const startOfText = '\u0002'
const measured = /^(-?\d{1,15})(?:\.(\d{1,6}))?\*([^\s*]{1,8})$/
const decimal = /^(-?\d{1,15})\.(\d{1,6})$/
const timestamp = /^\d{12}[SW]?$/
const code = /^\d{1,3}-\d{1,3}:\d{1,3}\.\d{1,3}\.\d{1,3}$/

/**
 * The values of a P1 telegram in the order of its lines. An M-Bus meter's value and a maximum demand have the time of
 * capture beside them; each row of a list (power failures, past maxima) is a value of the list's own code, for a channel
 * has one value. A line that has no code is passed over.
 * @throws PeerError `PUSH_FORM` where it does not end or its checksum fails, `DATA_VALUE`
 * @see DSMR P1 companion standard 5.0.2, 6.2, and 3.0, 5.2 (gas value on a line of its own)
 */
export function readTelegram(octets: Uint8Array): TelegramValue[] {
  const text = Buffer.from(octets.buffer, octets.byteOffset, octets.length).toString('latin1')
  const end = text.indexOf('\n!')
  if (!isTelegram(octets) || end < 0) throw new PeerError('PUSH_FORM', 'no telegram from / to !')
  checkSum(octets, text, end + 2)
  const rows = text.slice(0, end).replace(startOfText, '').split('\n')
  return rows.flatMap((row, i) => lineValues(row.trimEnd(), rows[i + 1]?.trimEnd() ?? ''))
}

/** @param end behind the exclamation mark, the last that the checksum covers */
function checkSum(octets: Uint8Array, text: string, end: number): void {
  const told = /^[0-9A-Fa-f]{4}/.exec(text.slice(end))
  if (told !== null && Number.parseInt(told[0], 16) !== checksum(octets.subarray(0, end))) {
    throw new PeerError('PUSH_FORM', 'the checksum of the telegram fails', { offset: end })
  }
}

function lineValues(row: string, next: string): TelegramValue[] {
  const [, medium = '1-0', rest, rate = '.0', period = '', groups] = line.exec(row) ?? []
  if (rest === undefined || groups === undefined) return []
  const obis = parseObis(`${medium}:${rest}${rate}${period}`)
  const values = groups.slice(1, -1).split(')(')
  if (values.length === 1) return [readValue(obis, values[0]!)]
  if (values.length === 2 && timestamp.test(values[0]!))
    return [{ ...readValue(obis, values[1]!), captured: values[0]! }]
  return valueBelow(values, next) ?? listRows(obis, values) ?? values.map((value) => readValue(obis, value))
}

/** DSMR 2 and 3: `0-1:24.3.0(time)(…)(0-1:24.2.1)(m3)`, and the value alone on the line below. */
function valueBelow(values: readonly string[], next: string): TelegramValue[] | undefined {
  const [name, unit] = values.slice(-2)
  const below = /^\(([\d.]+)\)$/.exec(next)
  if (below === null || !code.test(name!) || !timestamp.test(values[0]!)) return undefined
  return [{ ...readValue(parseObis(name!), `${below[1]}*${unit}`), captured: values[0]! }]
}

/** How many rows, the names of what is in them, then row by row the times and the value. */
function listRows(obis: Obis, [count, ...rest]: readonly string[]): TelegramValue[] | undefined {
  if (!/^\d{1,3}$/.test(count!)) return undefined
  const names = rest.filter((value) => code.test(value)).length
  const cells = rest.slice(names)
  if (Number(count) === 0) return []
  const width = cells.length / Number(count)
  if (cells.length === 0 || !Number.isInteger(width) || width < 2) return undefined
  return Array.from({ length: Number(count) }, (_, row) => {
    const [captured, ...others] = cells.slice(row * width, (row + 1) * width)
    return { ...readValue(obis, others.at(-1)!), captured: captured! }
  })
}

function readValue(obis: Obis, text: string): TelegramValue {
  const [, whole, places, unit] = measured.exec(text) ?? decimal.exec(text) ?? []
  if (whole === undefined) return { obis, value: text, scaler: null, unit: null }
  const digits = whole + (places ?? '')
  const value = Number.isSafeInteger(Number(digits)) ? Number(digits) : digits
  return { obis, value, scaler: places === undefined ? null : -places.length, unit: unit ?? null }
}

const clockCode = '0-0:1.0.0'

/**
 * The telegram's own clock: in UTC with `Z` by the zone of its meter, else local; `null` where it tells none.
 * @param clock whose zone says what `S` (daylight saving) and `W` mean
 */
export function telegramTime(values: readonly TelegramValue[], clock?: MeterClock): string | null {
  const text = values.find(({ obis }) => obis === clockCode)?.value
  return typeof text === 'string' ? (telegramTimeText(text, clock) ?? null) : null
}

/** The same of any time in a telegram, `undefined` for what is none. */
export function telegramTimeText(text: string, clock: MeterClock | undefined): string | undefined {
  if (!timestamp.test(text)) return undefined
  const octets = timestampOctets(text)
  const local = localText(octets)
  const seconds = local === undefined ? undefined : zonedSeconds(octets, clock && { ...clock, daylightBit: 'kept' })
  return seconds === undefined ? local : new Date(seconds * 1000).toISOString().replace('.000Z', 'Z')
}

/** `YYMMDDhhmmss` and `S` or `W` as a date-time: deviation unspecified, daylight saving in the clock status. */
export function timestampOctets(text: string): Uint8Array {
  const [year, month, day, hour, minute, second] = text.match(/\d\d/g)!.map(Number) as [number, ...number[]]
  const [high, low] = [(2000 + year) >> 8, (2000 + year) & 0xff]
  const status = { S: clockStatus.daylight, W: 0 }[text[12] ?? ''] ?? 0xff
  return Uint8Array.of(high, low, month!, day!, 0xff, hour!, minute!, second!, 0xff, 0x80, 0x00, status)
}

function localText(octets: Uint8Array): string | undefined {
  try {
    const seconds = utcSeconds({ ...decodeDateTime(octets), deviationMinutes: 0 })
    return seconds === undefined ? undefined : new Date(seconds * 1000).toISOString().slice(0, 19)
  } catch (fault) {
    if (fault instanceof PeerError) return undefined
    throw fault
  }
}

/** CRC-16/ARC. */
function checksum(octets: Uint8Array): number {
  let crc = 0
  for (const octet of octets) {
    crc ^= octet
    for (let bit = 0; bit < 8; bit++) crc = (crc & 1) === 1 ? (crc >>> 1) ^ 0xa001 : crc >>> 1
  }
  return crc
}
