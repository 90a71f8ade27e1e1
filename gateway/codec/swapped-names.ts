/**
 * A departure seen in a list of a Landis+Gyr meter in Norway: in front of some logical names tag and length are swapped,
 * `06 09` for `09 06`, in a structure of name and value, or of name, value, scaler and unit.
 */
const structureTag = 0x02
const octetStringTag = 0x09
const nameOctets = 6
/** Elements of such a structure. */
const sizes: readonly number[] = [2, 3]
/** Media end at 15; the last group of a name in a list is 255. @see IEC 62056-61 */
const mediumMax = 15
const lastGroup = 0xff

/**
 * The octets of a body with such tags put right; linear.
 * @returns `undefined` where there are none; whether what results can be read is the caller's to see
 */
export function unswapped(octets: Uint8Array): Uint8Array | undefined {
  let copy: Uint8Array | undefined
  for (let at = 0; at + 3 + nameOctets < octets.length; at++) {
    if (!isSwapped(octets, at)) continue
    copy ??= octets.slice()
    copy[at + 2] = octetStringTag
    copy[at + 3] = nameOctets
    at += 3 + nameOctets
  }
  return copy
}

/** @param at of the structure */
function isSwapped(octets: Uint8Array, at: number): boolean {
  if (octets[at] !== structureTag || !sizes.includes(octets[at + 1]!)) return false
  const isTag = octets[at + 2] === nameOctets && octets[at + 3] === octetStringTag
  return isTag && octets[at + 4]! <= mediumMax && octets[at + 3 + nameOctets] === lastGroup
}
