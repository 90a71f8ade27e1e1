import { PkiError } from '../errors.ts'
import { looksLikeHost } from '../name-constraints.ts'
import { idPattern } from '../purpose.ts'

/** A device as its maker shipped it, and who it will be. */
export interface Shipped {
  /** in a manifest: a name as in `idPattern`; once imported: the fingerprint of its CA in the trust store */
  manufacturer: string
  /** serial number as in the subject of its certificate, 1 to 64 printable characters */
  serial: string
  /** id of the concentrator, as in `idPattern` */
  concentrator: string
}

/** Characters and devices of one manifest, the most. */
export const manifestCharactersMax: number = 128 * 1_024 * 1_024
export const manifestDevicesMax = 1_000_000
/** Lines that a refusal names, the most. */
const namedMax = 20

const header = 'manufacturer,serial,concentrator'
export const serialPattern: RegExp = /^[\x21-\x7e]{1,64}$/

/**
 * A shipment manifest: CSV with the header `manufacturer,serial,concentrator` and a line for each device, no quotes.
 * All or nothing: what is wrong is named by line.
 * @throws PkiError `MANIFEST_INVALID`
 */
export function parseManifest(text: string): Shipped[] {
  if (text.length > manifestCharactersMax) throw invalid(`over ${manifestCharactersMax} characters`)
  const lines = text.replace(/^\uFEFF/, '').split(/\r?\n/)
  if (lines.at(-1) === '') lines.pop()
  if (lines[0] !== header) throw invalid(`line 1 is not '${header}'`)
  if (lines.length - 1 > manifestDevicesMax) throw invalid(`over ${manifestDevicesMax} devices`)
  const wrong: string[] = []
  const seen = new Set<string>()
  const shipped = lines.slice(1).map((line, index) => {
    const one = deviceOf(line)
    const why = typeof one === 'string' ? one : repeatedIn(seen, one)
    if (why !== undefined) wrong.push(`line ${index + 2} ${why}`)
    return one as Shipped
  })
  if (wrong.length > 0) {
    const more = wrong.length > namedMax ? ` and ${wrong.length - namedMax} more` : ''
    throw invalid(`${wrong.slice(0, namedMax).join('; ')}${more}`)
  }
  return shipped
}

function deviceOf(line: string): Shipped | string {
  const [manufacturer = '', serial = '', concentrator = '', ...more] = line.split(',')
  if (more.length > 0 || concentrator === '') return 'has not three fields'
  if (!idPattern.test(manufacturer)) return 'names no manufacturer: 1 to 64 of A-Z a-z 0-9 . _ -'
  if (!serialPattern.test(serial)) return 'has no serial: 1 to 64 printable characters without spaces'
  if (looksLikeHost(concentrator)) return 'names a concentrator that could be taken for a host: no dots'
  if (!idPattern.test(concentrator)) return 'names no concentrator: 1 to 64 of A-Z a-z 0-9 . _ -'
  return { manufacturer, serial, concentrator }
}

function repeatedIn(seen: Set<string>, { manufacturer, serial, concentrator }: Shipped): string | undefined {
  const device = `${manufacturer},${serial}`
  const name = `,${concentrator}` // no device begins with a comma
  const why = seen.has(device) ? 'repeats a device' : seen.has(name) ? 'repeats a concentrator' : undefined
  seen.add(device).add(name)
  return why
}

function invalid(why: string): PkiError {
  return new PkiError('MANIFEST_INVALID', why)
}
