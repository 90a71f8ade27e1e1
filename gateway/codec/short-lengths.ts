/**
 * A departure of meters with short names (Landis+Gyr, old Elster): the AARE, its user information and the octet
 * string in it each state a length that is one less than what they hold, so that the last octet of the
 * initiate-response lies behind the APDU.
 */
const userInformationTag = 0xbe
const octetStringTag = 0x04
const initiateResponseTag = 0x08
const lengthMax = 0x7f

/**
 * The octets behind the tag of such an AARE with the three lengths put right, one more each.
 * @returns `undefined` where they are not laid out like that; whether what results can be read is the caller's to see
 */
export function lengthened(octets: Uint8Array): Uint8Array | undefined {
  const at = userInformationAt(octets)
  const [length, outer, tag, first] = [octets[0]!, octets[at + 1]!, octets[at + 2], octets[at + 4]]
  if (length !== octets.length - 2 || at + outer + 3 !== octets.length || length + 1 > lengthMax) return undefined
  if (tag !== octetStringTag || first !== initiateResponseTag) return undefined
  const copy = octets.slice()
  for (const i of [0, at + 1, at + 3]) copy[i]!++
  return copy
}

/** Where the user information begins, the length of the octets where there is none. */
function userInformationAt(octets: Uint8Array): number {
  let at = 1
  while (at < octets.length && octets[at] !== userInformationTag) at += 2 + (octets[at + 1] ?? 0)
  return Math.min(at, octets.length)
}
