import { PkiError } from '../errors.ts'
import type { Manufacturer } from '../manufacturers/store.ts'
import { attributeOf } from '../names.ts'
import { parseManifest, type Shipped } from './manifest.ts'

const organisation = '2.5.4.10'
/** The least of a fingerprint that names a manufacturer: 8 hex digits. */
const prefixPattern = /^[0-9a-f]{8,64}$/

/**
 * A shipment manifest whose manufacturers are found among the CAs that are trusted for enrolment: by fingerprint, by its first 8
 * digits or more, or by the organisation in the CA's subject. Devices are bound to that one CA, by its fingerprint.
 * @throws PkiError `MANIFEST_INVALID`, `MANIFEST_MANUFACTURER` for one that is unknown, or stands for several CAs
 */
export function readManifest(text: string, manufacturers: readonly Manufacturer[]): Shipped[] {
  const shipped = parseManifest(text)
  const found = new Map<string, string>()
  for (const { manufacturer } of shipped) {
    if (!found.has(manufacturer)) found.set(manufacturer, fingerprintNamed(manufacturer, manufacturers))
  }
  return shipped.map((one) => ({ ...one, manufacturer: found.get(one.manufacturer)! }))
}

function fingerprintNamed(name: string, manufacturers: readonly Manufacturer[]): string {
  const lower = name.toLowerCase()
  const named = manufacturers.filter(
    ({ fingerprint, certificate }) =>
      (prefixPattern.test(lower) && fingerprint.startsWith(lower)) ||
      attributeOf(certificate.subject, organisation) === name,
  )
  if (named.length === 1) return named[0]!.fingerprint
  const why = named.length === 0 ? 'no trusted manufacturer CA is' : `${named.length} manufacturer CAs are`
  throw new PkiError('MANIFEST_MANUFACTURER', `${why} '${name}': give the first 8 or more digits of its fingerprint`)
}
