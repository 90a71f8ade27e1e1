import { parseObis } from '../codec/obis.ts'
import { PeerError } from '../errors.ts'
import type { Obis } from '../model.ts'

/** One line of a P1 telegram; where it has a decimal point, the places behind it become the scaler. */
export interface TelegramValue {
  obis: Obis
  value: number | string
  scaler: number | null
  unit: string | null
}

const line = /^(\d{1,3}-\d{1,3}:\d{1,3}\.\d{1,3}\.\d{1,3})\(([^()]*)\)$/
const measured = /^(\d{1,15})(?:\.(\d{1,6}))?\*([A-Za-z0-9]+)$/
const slash = 0x2f

/** Whether octets begin as a telegram does: no APDU has this tag. */
export function isTelegram(octets: Uint8Array): boolean {
  return octets[0] === slash
}

/**
 * The values of a P1 telegram in the order of its lines. Lines with several values (M-Bus meters behind the port,
 * power failure logs) are passed over.
 * @throws PeerError `PUSH_FORM` where it does not end or its checksum fails, `DATA_VALUE`
 * @see DSMR P1 companion standard 5.0.2, 6.2
 */
export function readTelegram(octets: Uint8Array): TelegramValue[] {
  const text = Buffer.from(octets.buffer, octets.byteOffset, octets.length).toString('latin1')
  const end = text.indexOf('\n!')
  if (!isTelegram(octets) || end < 0) throw new PeerError('PUSH_FORM', 'no telegram from / to !')
  const told = /^[0-9A-Fa-f]{4}/.exec(text.slice(end + 2))
  if (told !== null && Number.parseInt(told[0], 16) !== checksum(octets.subarray(0, end + 2))) {
    throw new PeerError('PUSH_FORM', 'the checksum of the telegram fails', { offset: end + 2 })
  }
  return text
    .slice(0, end)
    .split('\n')
    .map((row) => line.exec(row.trimEnd()))
    .filter((match) => match !== null)
    .map(([, name, value]) => telegramValue(parseObis(name!), value!))
}

function telegramValue(obis: Obis, text: string): TelegramValue {
  const match = measured.exec(text)
  if (match === null) return { obis, value: text, scaler: null, unit: null }
  const [, whole, places, unit] = match
  const digits = whole! + (places ?? '')
  const value = Number.isSafeInteger(Number(digits)) ? Number(digits) : digits
  return { obis, value, scaler: places === undefined ? null : -places.length, unit: unit! }
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
