import { ConfigError } from '#gateway/errors.ts'
import type { ExactInteger } from '#gateway/model.ts'

/** One series: `values[i]` is the energy from `start + i * intervalSeconds` on. No gaps. */
export interface Curve {
  /** seconds since 1970-01-01T00:00Z */
  start: number
  values: ExactInteger[]
}

export interface Curves {
  /** a value is that many times ten to this power, in Wh; 0 or less: 0.02718 kWh is 2718 x 10^-2 Wh */
  scaler: number
  /** the same for every series */
  intervalSeconds: number
  /** in the order of their first lines */
  series: Map<string, Curve>
}

const header = 'series,start_utc,kwh'
export const rowsMax = 5_000_000
const faultsMax = 20
const nameLengthMax = 64
/** digits before the point, and after it */
const digitsMax = 9

/** A series while it is read: the values are still each on its own power of ten. */
interface Draft extends Curve {
  last: number
  decimals: number[]
}

interface Reading {
  series: Map<string, Draft>
  intervalSeconds: number
  decimalsMax: number
}

/**
 * Load curves from CSV `series,start_utc,kwh`: the start of each interval and the energy in it. Rows of one series
 * are in order and evenly spaced; series may alternate. Digits become integers, never floats.
 * @param limit rows, the most the caller will accept; 5,000,000 where not told
 * @throws ConfigError with the first 20 faults, each with its line
 */
export function parseCurves(text: string, limit: number = rowsMax): Curves {
  const reading: Reading = { series: new Map(), intervalSeconds: 0, decimalsMax: 0 }
  const faults: string[] = []
  let line = 0
  for (const row of rowsOf(text)) {
    line += 1
    const fault = line === 1 ? headerFault(row) : rowFault(row, reading)
    if (fault !== undefined) faults.push(`line ${line}: ${fault}`)
    if (line > limit + 1) faults.push(`line ${line}: more than ${limit} rows`)
    if (faults.length >= faultsMax || line > limit + 1 || (line === 1 && fault !== undefined)) break
  }
  if (line === 0) faults.push(`line 1: '${header}' expected`)
  else if (faults.length === 0 && reading.intervalSeconds === 0) faults.push('no series has two intervals')
  if (faults.length > 0) throw new ConfigError(faults)
  return scaled(reading)
}

function headerFault(row: string): string | undefined {
  return row === header ? undefined : `'${header}' expected, not '${row.slice(0, 80)}'`
}

/** Lines ended by LF or CRLF; the last may lack it. */
function* rowsOf(text: string): Generator<string> {
  for (let from = 0; from < text.length; ) {
    const found = text.indexOf('\n', from)
    const to = found < 0 ? text.length : found
    yield text.slice(from, text[to - 1] === '\r' && to > from ? to - 1 : to)
    from = to + 1
  }
}

/** Takes one row in, or says what is wrong with it. */
function rowFault(row: string, reading: Reading): string | undefined {
  const first = row.indexOf(',')
  const second = row.indexOf(',', first + 1)
  if (first < 0 || second < 0 || row.indexOf(',', second + 1) >= 0) return 'three columns expected'
  const name = row.slice(0, first)
  if (name === '' || name.length > nameLengthMax || name.includes('"')) {
    return `series: 1 to ${nameLengthMax} characters without quotes`
  }
  const start = parseTime(row.slice(first + 1, second))
  if (start === undefined) return `start_utc: a time like 2009-03-23T00:00Z, not '${row.slice(first + 1, second)}'`
  const value = parseDecimal(row, second + 1)
  if (value === undefined) {
    return `kwh: a decimal number, not negative, ${digitsMax} digits on either side, not '${row.slice(second + 1)}'`
  }
  return append(reading, name, start, value)
}

function append(reading: Reading, name: string, start: number, value: Decimal): string | undefined {
  const draft = reading.series.get(name)
  reading.decimalsMax = Math.max(reading.decimalsMax, value.decimals)
  if (draft === undefined) {
    reading.series.set(name, { start, last: start, values: [value.mantissa], decimals: [value.decimals] })
    return undefined
  }
  const step = start - draft.last
  if (step <= 0) return `start_utc: ${step === 0 ? 'the interval before, again' : 'earlier than the interval before'}`
  if (reading.intervalSeconds === 0) reading.intervalSeconds = step
  draft.last = start
  if (step !== reading.intervalSeconds) return `start_utc: ${stepFault(step, reading.intervalSeconds)}`
  draft.values.push(value.mantissa)
  draft.decimals.push(value.decimals)
  return undefined
}

function stepFault(step: number, intervalSeconds: number): string {
  const missing = step / intervalSeconds - 1
  if (Number.isInteger(missing)) return `a gap of ${missing} intervals of ${intervalSeconds} s before it`
  return `${step} s after the interval before, not ${intervalSeconds} s as elsewhere`
}

/** Every value on one power of ten of Wh: the largest on which all are integers, and no larger than Wh itself. */
function scaled({ series, intervalSeconds, decimalsMax }: Reading): Curves {
  const decimals = Math.max(decimalsMax, 3)
  const rescaled = [...series].map(([name, { start, values, decimals: of }]): [string, Curve] => [
    name,
    { start, values: values.map((mantissa, index) => times(mantissa, decimals - of[index]!)) },
  ])
  return { scaler: 0 - (decimals - 3), intervalSeconds, series: new Map(rescaled) }
}

const powersOfTen = Array.from({ length: 16 }, (_, power) => 10 ** power)

/** A mantissa times ten to a power from 0 to 15, without loss. */
function times(mantissa: ExactInteger, power: number): ExactInteger {
  const product = Number(mantissa) * powersOfTen[power]!
  if (Number.isSafeInteger(product)) return product
  return BigInt(mantissa) * 10n ** BigInt(power)
}

interface Decimal {
  mantissa: ExactInteger
  decimals: number
}

const zero = 48

/** Digits, then a point and digits or nothing; zeros at the end of a fraction do not count. */
function parseDecimal(text: string, from: number): Decimal | undefined {
  let end = text.length
  const dot = text.indexOf('.', from)
  const whole = (dot < 0 ? end : dot) - from
  if (whole < 1 || whole > digitsMax || (dot >= 0 && (dot === end - 1 || end - dot - 1 > digitsMax))) return undefined
  if (dot >= 0) while (text.charCodeAt(end - 1) === zero) end -= 1
  let mantissa = 0
  for (let at = from; at < end; at += 1) {
    if (at === dot) continue
    const digit = text.charCodeAt(at) - zero
    if (!(digit >= 0 && digit <= 9)) return undefined
    mantissa = mantissa * 10 + digit
  }
  const decimals = dot < 0 ? 0 : end - dot - 1
  return { mantissa: Number.isSafeInteger(mantissa) ? mantissa : exact(text.slice(from, end)), decimals }
}

function exact(digits: string): bigint {
  return BigInt(digits.replace('.', ''))
}

/** @returns seconds since 1970; undefined for what is no time `YYYY-MM-DDTHH:MMZ` or `YYYY-MM-DDTHH:MM:SSZ` */
function parseTime(text: string): number | undefined {
  const pattern = text.length === 17 ? '0000-00-00T00:00Z' : '0000-00-00T00:00:00Z'
  if (text.length !== pattern.length) return undefined
  for (let at = 0; at < pattern.length; at += 1) {
    const code = text.charCodeAt(at)
    const digit = code >= zero && code <= 57
    if (pattern.charCodeAt(at) === zero ? !digit : code !== pattern.charCodeAt(at)) return undefined
  }
  const part = (at: number, length: number): number => Number(text.slice(at, at + length))
  const [month, day, hour, minute] = [part(5, 2), part(8, 2), part(11, 2), part(14, 2)]
  const second = text.length === 17 ? 0 : part(17, 2)
  if (hour > 23 || minute > 59 || second > 59) return undefined
  const date = new Date(Date.UTC(part(0, 4), month - 1, day, hour, minute, second))
  return date.getUTCMonth() === month - 1 && date.getUTCDate() === day ? date.getTime() / 1000 : undefined
}
