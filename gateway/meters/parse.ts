import { parseObis } from '../codec/obis.ts'
import { type Fields, readConfig } from '../fields.ts'
import { type Obis, quality } from '../model.ts'
import { isTimeZone, type MeterClock } from '../readings/local-time.ts'
import type {
  KnownBuffer,
  Match,
  MeterProfile,
  PositionalList,
  StatusRule,
  UnitRule,
} from '../readings/meter-profile.ts'
import { type ObisPattern, obisPattern, obisPatternForm } from '../readings/obis-pattern.ts'
import { type Column, column } from '../readings/profile-columns.ts'
import { unitCode } from '../readings/units.ts'

const rulesMax = 64
const name = { pattern: /^[a-z0-9][a-z0-9-]{0,63}$/, says: 'a name of a-z 0-9 -' }
const words = { pattern: /^[^\p{Cc}]{1,200}$/u, says: 'a text of one line' }
const flags = { pattern: /^[A-Z]{3}$/, says: 'three letters of a system title' }
const code = { pattern: /^\d{1,3}-\d{1,3}:\d{1,3}\.\d{1,3}\.\d{1,3}(\*\d{1,3})?$/, says: 'OBIS codes A-B:C.D.E' }
const patterns = { pattern: obisPatternForm, says: 'OBIS codes with x for any group and 1-4 for a range' }
const dialects = {
  pattern: /^(tagged-date-time|untagged-descriptors|swapped-name-tags|positional)$/,
  says: 'tagged-date-time, untagged-descriptors, swapped-name-tags, positional',
}
const place = { pattern: /^(-|\d{1,3}-\d{1,3}:\d{1,3}\.\d{1,3}\.\d{1,3})$/, says: 'OBIS codes A-B:C.D.E, - for none' }
const captured = {
  pattern: /^\d{1,5} \d{1,3}-\d{1,3}:\d{1,3}\.\d{1,3}\.\d{1,3}(\*\d{1,3})? -?\d{1,3}$/,
  says: 'class, OBIS code and attribute: 3 1-0:1.8.0 2',
}

/** Meanings of a status bit; `nothing` says nothing against the value. */
const meanings: Readonly<Record<string, number>> = {
  nothing: 0,
  meterStatus: quality.meterStatus,
  clockDoubtful: quality.clockDoubtful,
}

/**
 * A meter family's profile from its file's text, frozen; every key that is not known and every value of another form is a
 * fault. The README beside the files says what each key means.
 * @throws ConfigError with everything wrong
 */
export function parseMeterProfile(text: string): Readonly<MeterProfile> {
  return readConfig(text, (fields) => ({
    name: fields.text('name', undefined, name),
    family: fields.text('family', undefined, words),
    match: fields.object('match', matchOf),
    clock: clockOf(fields),
    dialects: (fields.optionalTexts('dialects', dialects) ?? []) as MeterProfile['dialects'],
    units: fields.objects('units', rulesMax, unitRule),
    noReadings: patternsOf(fields, 'noReadings'),
    lists: fields.objects('lists', rulesMax, positionalList),
    buffers: fields.objects('buffers', rulesMax, knownBuffer),
    status: fields.objects('status', rulesMax, statusRule),
  }))
}

function matchOf(fields: Fields): Match {
  const device = fields.optionalText('device', { pattern: /^.{1,200}$/, says: 'a regular expression' })
  return {
    manufacturers: fields.optionalTexts('manufacturers', flags),
    device: device === undefined ? undefined : expression(fields, device),
    pushes: fields.optionalTexts('pushes', code)?.map((text) => obis(fields, 'pushes', text)),
  }
}

function expression(fields: Fields, text: string): RegExp {
  try {
    return new RegExp(text)
  } catch {
    fields.fault('device', 'a regular expression')
    return /^$/
  }
}

function clockOf(fields: Fields): MeterClock | undefined {
  const zone = fields.optionalText('timeZone', { pattern: /^[A-Za-z]/, says: 'an IANA time zone' })
  const daylightBit = fields.text('daylightBit', 'ignored', { pattern: /^(kept|ignored)$/, says: 'kept or ignored' })
  if (zone === undefined) return undefined
  if (!isTimeZone(zone)) fields.fault('timeZone', 'an IANA time zone')
  return { zone, daylightBit: daylightBit as MeterClock['daylightBit'] }
}

function unitRule(fields: Fields): UnitRule {
  const symbol = fields.text('unit', undefined, {
    pattern: /^.{1,16}$/,
    says: 'a symbol, count, or the code of a unit',
  })
  const unit = unitCode(symbol)
  if (unit === undefined) fields.fault('unit', 'a symbol, count, or the code of a unit')
  return { codes: patternsOf(fields, 'codes'), scaler: fields.whole('scaler', [-12, 12]), unit: unit ?? 255 }
}

function positionalList(fields: Fields): PositionalList {
  const names = fields.optionalTexts('names', place) ?? []
  if (names.length === 0) fields.fault('names', `1 to 32 of ${place.says}`)
  return { names: names.map((text) => (text === '-' ? undefined : obis(fields, 'names', text))) }
}

function knownBuffer(fields: Fields): KnownBuffer {
  return {
    code: obis(fields, 'code', fields.text('code', undefined, code)),
    capturePeriod: fields.whole('capturePeriodSeconds', [0, 86_400], 0),
    columns: (fields.optionalTexts('columns', captured) ?? []).map((text) => capturedColumn(fields, text)),
  }
}

function capturedColumn(fields: Fields, text: string): Column {
  const [classId, name, attribute] = text.split(' ')
  return column({ classId: Number(classId), obis: obis(fields, 'columns', name!), attribute: Number(attribute) })
}

function statusRule(fields: Fields): StatusRule {
  return {
    codes: patternsOf(fields, 'codes'),
    bits: fields.objects('bits', 32, (bit) => {
      const says = Object.keys(meanings).join(', ')
      const meaning = bit.text('means', undefined, { pattern: /^(nothing|meterStatus|clockDoubtful)$/, says })
      return { mask: bit.whole('mask', [1, 0x7fffffff]), quality: meanings[meaning] ?? 0 }
    }),
  }
}

function patternsOf(fields: Fields, key: string): ObisPattern[] {
  return (fields.optionalTexts(key, patterns) ?? []).filter((text) => obisPatternForm.test(text)).map(obisPattern)
}

/** Groups beyond 255 have the form and are no code. */
function obis(fields: Fields, key: string, text: string): Obis {
  if (code.pattern.test(text) && text.split(/\D/).every((group) => Number(group) <= 255)) return parseObis(text)
  fields.fault(key, code.says)
  return parseObis('0-0:0.0.0')
}
