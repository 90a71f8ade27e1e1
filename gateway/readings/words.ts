import { type CosemDateTime, clockStatus, decodeDateTime, utcSeconds } from '../codec/datetime.ts'
import { PeerError } from '../errors.ts'

const weekdays = ['Mon', 'Tue', 'Wed', 'Thu', 'Fri', 'Sat', 'Sun'] as const

/**
 * A date-time for people: fields as sent, `*` where unspecified, the deviation as the meter means it, the same in UTC
 * where it can be told, and the clock status flag by flag.
 * @returns `undefined` where the octets are no date-time
 * @see Blue Book, date and time formats
 */
export function dateTimeWords(octets: Uint8Array): string | undefined {
  try {
    const time = decodeDateTime(octets)
    const utc = utcSeconds(time)
    const told = utc === undefined ? '' : ` = ${new Date(utc * 1000).toISOString().replace('.000Z', 'Z')}`
    return `${localWords(time)}, ${deviationWords(time.deviationMinutes)}${told}, ${statusWords(time.status)}`
  } catch (fault) {
    if (fault instanceof PeerError) return undefined
    throw fault
  }
}

function localWords(time: CosemDateTime): string {
  const { year, month, day, weekday, hour, minute, second, hundredths } = time
  const date = `${digits(year, 4)}-${monthWords(month)}-${dayWords(day)}`
  const clock = `${digits(hour)}:${digits(minute)}:${digits(second)}`
  return `${date}${weekday === undefined ? '' : ` ${weekdays[weekday - 1]}`} ${clock}${hundredths ? `.${digits(hundredths)}` : ''}`
}

function digits(value: number | undefined, width = 2): string {
  return value === undefined ? '*' : String(value).padStart(width, '0')
}

function monthWords(month: number | undefined): string {
  if (month === 253) return '(end of daylight saving)'
  return month === 254 ? '(begin of daylight saving)' : digits(month)
}

function dayWords(day: number | undefined): string {
  if (day === 253) return '(second last day)'
  return day === 254 ? '(last day)' : digits(day)
}

/** The standard counts from local time to UTC, people count the other way. */
function deviationWords(minutes: number | undefined): string {
  if (minutes === undefined) return 'deviation unspecified'
  const east = -minutes
  const size = Math.abs(east)
  return `UTC${east < 0 ? '-' : '+'}${digits(Math.floor(size / 60))}:${digits(size % 60)} (deviation ${minutes} min)`
}

/** `clock status 81: invalid, daylight saving`. @see Blue Book, clock_status */
export function statusWords(status: number | undefined): string {
  if (status === undefined) return 'clock status unspecified'
  const flags = [
    [clockStatus.invalid, 'invalid'],
    [clockStatus.doubtful, 'doubtful'],
    [clockStatus.differentBase, 'different clock base'],
    [clockStatus.badStatus, 'status itself invalid'],
    [clockStatus.daylight, 'daylight saving'],
  ] as const
  const set = flags.filter(([bit]) => (status & bit) !== 0).map(([, words]) => words)
  return `clock status ${hexOctet(status)}: ${set.join(', ') || 'nothing set'}`
}

/** Security control bit by bit. @see Green Book, security control byte */
export function securityWords(octet: number): string {
  const bits = [
    (octet & 0x10) !== 0 ? 'authenticated' : 'not authenticated',
    (octet & 0x20) !== 0 ? 'encrypted' : 'not encrypted',
    (octet & 0x40) !== 0 ? 'broadcast key' : 'unicast key',
    ...((octet & 0x80) !== 0 ? ['compressed'] : []),
  ]
  return `${hexOctet(octet)}: suite ${octet & 0x0f}, ${bits.join(', ')}`
}

/** The four octets in front of a notification and its like. @see Green Book, long-invoke-id-and-priority */
export function longInvokeWords(value: number): string {
  const high = value / 0x1000000
  const flags = [
    (high & 0x80) !== 0 ? 'high priority' : 'normal priority',
    (high & 0x40) !== 0 ? 'confirmed' : 'unconfirmed',
    ...((high & 0x20) !== 0 ? ['break on error'] : []),
    ...((high & 0x10) !== 0 ? ['self-descriptive'] : []),
  ]
  return `invoke id ${value % 0x1000000}, ${flags.join(', ')}`
}

/** One octet. @see Green Book, invoke-id-and-priority */
export function invokeWords(value: number): string {
  const priority = (value & 0x80) !== 0 ? 'high priority' : 'normal priority'
  return `invoke id ${value & 0x0f}, ${(value & 0x40) !== 0 ? 'confirmed' : 'unconfirmed'}, ${priority}`
}

/** A system title: three letters of the manufacturer and a number. @see IEC 62056-5-3, system title */
export function titleWords(octets: Uint8Array): string | undefined {
  const flag = String.fromCharCode(...octets.subarray(0, 3))
  return octets.length === 8 && /^[A-Z]{3}$/.test(flag) ? `manufacturer ${flag}` : undefined
}

/** Text where all octets are printable and there are at least two. */
export function printable(octets: Uint8Array): string | undefined {
  if (octets.length < 2 || octets.some((octet) => octet < 0x20 || octet > 0x7e)) return undefined
  return `'${String.fromCharCode(...octets)}'`
}

export function hexOctet(octet: number): string {
  return octet.toString(16).padStart(2, '0')
}

const unnumbered: Readonly<Record<number, string>> = {
  131: 'SNRM',
  99: 'UA',
  67: 'DISC',
  15: 'DM',
  135: 'FRMR',
  3: 'UI',
}

/** The control field of an HDLC frame. @see IEC 62056-46, 6.4.3 */
export function hdlcControlWords(control: number): string {
  const poll = (control & 0x10) !== 0 ? ', poll/final' : ''
  const [received, sent] = [control >> 5, (control >> 1) & 0x07]
  if ((control & 0x01) === 0) return `I, N(S) ${sent}, N(R) ${received}${poll}`
  if ((control & 0x0f) === 0x01) return `RR, N(R) ${received}${poll}`
  if ((control & 0x0f) === 0x05) return `RNR, N(R) ${received}${poll}`
  return (unnumbered[control & 0xef] ?? 'a control field that is not known') + poll
}

/** An HDLC address: upper alone, or upper and lower. @see IEC 62056-46, 6.4.2 */
export function hdlcAddressWords(octets: Uint8Array): string {
  const sevens = [...octets].map((octet) => octet >> 1)
  if (sevens.length === 1) return addressWords(sevens[0]!)
  const half = sevens.length / 2
  const [upper, lower] = [sevens.slice(0, half), sevens.slice(half)].map((part) =>
    part.reduce((sum, seven) => sum * 128 + seven, 0),
  ) as [number, number]
  return `logical ${upper}, physical ${lower}`
}

function addressWords(address: number): string {
  const known: Readonly<Record<number, string>> = {
    0: 'no station',
    1: 'management',
    16: 'public client',
    127: 'all stations',
  }
  return known[address] === undefined ? String(address) : `${address}, ${known[address]}`
}

/** The control field of an M-Bus frame. @see EN 13757-2, 5.5 */
export function mbusControlWords(control: number): string {
  const known: Readonly<Record<number, string>> = {
    64: 'SND-NKE',
    83: 'SND-UD',
    115: 'SND-UD',
    91: 'REQ-UD2',
    123: 'REQ-UD2',
    90: 'REQ-UD1',
    122: 'REQ-UD1',
    8: 'RSP-UD',
  }
  return known[control] ?? 'a control field that is not known'
}
