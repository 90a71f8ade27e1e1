import { PeerError } from '../errors.ts'
import { type Data, decodeData } from './axdr.ts'
import { type OpenReader, openReader } from './octets.ts'

/** What a buffer, an object list or a structure begins with. @see IEC 62056-5-3, Data */
const listTags: ReadonlySet<number> = new Set([0x01, 0x02, 0x13])

/**
 * A list of `Data` without an APDU, as logs and documents have them: an attribute's value that somebody cut out.
 * @param open makes the reader, as in `decodeApdu`
 * @returns `undefined` where the octets are not exactly one
 */
export function decodeBareData(octets: Uint8Array, open: OpenReader = openReader): Data | undefined {
  if (!listTags.has(octets[0] ?? 0)) return undefined
  try {
    const reader = open(octets, 0)
    const data = decodeData(reader)
    reader.end()
    return data
  } catch (fault) {
    if (fault instanceof PeerError) return undefined
    throw fault
  }
}
