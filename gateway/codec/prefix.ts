import { PeerError } from '../errors.ts'
import { decodeOctets, writeOctets } from './constructs.ts'
import { type OctetReader, OctetWriter } from './octets.ts'

/**
 * An APDU for a device in a network behind a DLMS gateway.
 * @see IEC 62056-5-3, gateway protocol (the prefix E6, E7)
 */
export interface GatewayRequest {
  apdu: 'gateway-request'
  /** 0 to 255 */
  networkId: number
  /** physical device address, in the form that the network has; may be empty */
  address: Uint8Array
  /** the APDU behind it, one octet at least; `decodeApdu` reads it */
  content: Uint8Array
}

/** The answer: network and address are those whom it is from. */
export interface GatewayResponse extends Omit<GatewayRequest, 'apdu'> {
  apdu: 'gateway-response'
}

export const gatewayRequestTag = 0xe6
export const gatewayResponseTag = 0xe7

/** What is behind the tag E6, to the end of the octets. @throws PeerError `APDU_TRUNCATED`, `APDU_LENGTH` */
export function decodeGatewayRequest(reader: OctetReader): GatewayRequest {
  return { apdu: 'gateway-request', ...decodePrefix(reader) }
}

/** What is behind the tag E7, to the end of the octets. @throws PeerError `APDU_TRUNCATED`, `APDU_LENGTH` */
export function decodeGatewayResponse(reader: OctetReader): GatewayResponse {
  return { apdu: 'gateway-response', ...decodePrefix(reader) }
}

function decodePrefix(reader: OctetReader): Omit<GatewayRequest, 'apdu'> {
  const head = { networkId: reader.uint(1), address: decodeOctets(reader) }
  if (reader.remaining === 0) {
    throw new PeerError('APDU_TRUNCATED', 'a gateway prefix without an APDU', { offset: reader.offset })
  }
  return { ...head, content: reader.rest() }
}

/** With its tag E6 or E7. */
export function encodeGatewayPrefix({
  apdu,
  networkId,
  address,
  content,
}: GatewayRequest | GatewayResponse): Uint8Array {
  const writer = new OctetWriter().uint(1, apdu === 'gateway-request' ? gatewayRequestTag : gatewayResponseTag)
  writeOctets(writer.uint(1, networkId), address)
  return writer.octets(content).finish()
}
