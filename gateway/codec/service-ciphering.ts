import { type CipheredService, decodeCipheredService, writeCipheredService } from './ciphering.ts'
import { type OctetReader, OctetWriter } from './octets.ts'

/** The APDUs that have a ciphered form of their own, by their tag in clear. @see IEC 62056-5-3, xDLMS-APDU */
const plainTags = {
  'initiate-request': 0x01,
  'read-request': 0x05,
  'write-request': 0x06,
  'initiate-response': 0x08,
  'read-response': 0x0c,
  'write-response': 0x0d,
  'confirmed-service-error': 0x0e,
  'unconfirmed-write-request': 0x16,
  'information-report-request': 0x18,
  'get-request': 0xc0,
  'set-request': 0xc1,
  'event-notification': 0xc2,
  'action-request': 0xc3,
  'get-response': 0xc4,
  'set-response': 0xc5,
  'action-response': 0xc7,
} as const

type Service = keyof typeof plainTags

/** `glo-get-request` is under a global key, `ded-get-request` under the dedicated one. */
export type ServiceCipheringName = `${'glo' | 'ded'}-${Service}`

/** One service's APDU, ciphered: its sender is who the association says. @see IEC 62056-5-3, glo-*, ded-* */
export interface ServiceCiphering extends CipheredService {
  apdu: ServiceCipheringName
}

/** Short-name services and initiate begin below 20, logical-name services at C0; each family has its own distance. */
const distance = { glo: { low: 0x20, high: 0x08 }, ded: { low: 0x40, high: 0x10 } } as const
const highest = 0xc0

const forms: ReadonlyMap<ServiceCipheringName, { tag: number; plainTag: number }> = new Map(
  (['glo', 'ded'] as const).flatMap((family) =>
    (Object.keys(plainTags) as Service[]).map((service) => {
      const plainTag = plainTags[service]
      const tag = plainTag + (plainTag < highest ? distance[family].low : distance[family].high)
      return [`${family}-${service}` as const, { tag, plainTag }]
    }),
  ),
)

/** Every name by its tag. */
export const serviceCipheringNames: ReadonlyMap<number, ServiceCipheringName> = new Map(
  [...forms].map(([name, { tag }]) => [tag, name]),
)

/** The tag that the APDU inside must have. The tag outside is not authenticated, so this one has to agree with it. */
export function plainTagOf(name: ServiceCipheringName): number {
  return forms.get(name)!.plainTag
}

/**
 * The ciphered form of a service.
 * @param plainTag of the APDU in clear
 * @throws RangeError where the service has none: it is protected by a general form
 */
export function serviceCipheringOf(family: 'glo' | 'ded', plainTag: number | undefined): ServiceCipheringName {
  const service = (Object.keys(plainTags) as Service[]).find((name) => plainTags[name] === plainTag)
  if (service === undefined) throw new RangeError(`no ${family} form of an APDU with tag ${plainTag}`)
  return `${family}-${service}`
}

/** The APDU behind its tag. @throws PeerError `APDU_TRUNCATED`, `APDU_LENGTH` */
export function decodeServiceCiphering(name: ServiceCipheringName, reader: OctetReader): ServiceCiphering {
  return { apdu: name, ...decodeCipheredService(reader) }
}

/** With its tag. */
export function encodeServiceCiphering(apdu: ServiceCiphering): Uint8Array {
  return writeCipheredService(new OctetWriter().uint(1, forms.get(apdu.apdu)!.tag), apdu).finish()
}
