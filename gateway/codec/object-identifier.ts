import type { Ber } from './ber.ts'

const contexts = {
  'logical-name': 1,
  'short-name': 2,
  'logical-name-ciphered': 3,
  'short-name-ciphered': 4,
} as const

/** @see IEC 62056-5-3, application context names (2.16.756.5.8.1.x) */
export type ApplicationContext = keyof typeof contexts

const mechanisms = {
  lowest: 0,
  low: 1,
  high: 2,
  'high-md5': 3,
  'high-sha1': 4,
  'high-gmac': 5,
  'high-sha256': 6,
  'high-ecdsa': 7,
} as const

/** @see IEC 62056-5-3, authentication mechanism names (2.16.756.5.8.2.x) */
export type Mechanism = keyof typeof mechanisms

/** 2.16.756.5.8 in BER: joint-iso-ccitt, country, Switzerland, identified organisation, DLMS UA. */
const dlmsUa = [0x60, 0x85, 0x74, 0x05, 0x08]

/** An object identifier as a name where it is the DLMS UA's, else as its octets. */
function oid<K extends string>(arc: number, names: Readonly<Record<K, number>>): Ber<K | Uint8Array> {
  const prefix = [...dlmsUa, arc]
  return {
    decode(reader) {
      const octets = reader.rest()
      const isOurs = octets.length === prefix.length + 1 && prefix.every((octet, i) => octet === octets[i])
      const name = (Object.keys(names) as K[]).find((name) => names[name] === octets[prefix.length])
      return isOurs && name !== undefined ? name : octets
    },
    write(writer, value) {
      writer.octets(typeof value === 'string' ? Uint8Array.of(...prefix, names[value]) : value)
    },
  }
}

/** Behind `06`. */
export const berContext: Ber<ApplicationContext | Uint8Array> = oid(0x01, contexts)

/** Behind `06`, or behind the tag of the field itself. */
export const berMechanism: Ber<Mechanism | Uint8Array> = oid(0x02, mechanisms)
