import { PeerError } from './errors.ts'

/** Eight octets that name a meter, as 16 lower-case hex digits. @see IEC 62056-5-3, 4.3.4 (system title) */
export type SystemTitle = string & { readonly brand: 'SystemTitle' }

/** A meter is known by its system title; names and customer numbers never enter the gateway. */
export type MeterId = SystemTitle

/** A concentrator's name as its certificate states it: 1 to 64 of `A-Z a-z 0-9 . _ -`. */
export type ConcentratorId = string & { readonly brand: 'ConcentratorId' }

/** A distribution substation: 1 to 64 of `A-Z a-z 0-9 . _ -`. */
export type SubstationId = string & { readonly brand: 'SubstationId' }

/** A logical name in its reduced text form `A-B:C.D.E` or, when F is not 255, `A-B:C.D.E*F`. @see IEC 62056-61 */
export type Obis = string & { readonly brand: 'Obis' }

/** An integer without loss: a number while it is safe, a bigint beyond. */
export type ExactInteger = number | bigint

/**
 * Readings of one channel of one meter, in the order of their interval ends: a profile costs one object and not
 * one per row. The three lists are as long as each other, 1 to `seriesLengthMax`.
 */
export interface Series {
  meter: MeterId
  obis: Obis
  /** the value is `values[i]` times ten to this power, in `unit` */
  scaler: number
  /** DLMS unit enumeration, 0 to 255: 30 is Wh. @see Blue Book, table of units */
  unit: number
  /** end of each interval, seconds since 1970-01-01T00:00Z */
  ends: number[]
  values: ExactInteger[]
  /** bits of `quality`, one word per reading */
  qualities: number[]
}

/** A reading of a month of quarter-hours fits. */
export const seriesLengthMax = 3_072

/** Why a reading may deserve a second look; none of them drops it. Bits, so that they add up. */
export const quality = {
  /** the meter's status octet was not zero */
  meterStatus: 1,
  /** the clock status says invalid or doubtful. @see Blue Book, date-time */
  clockDoubtful: 2,
  /** the interval ends after the gateway's own clock */
  future: 4,
  /** negative, or beyond what a meter of its kind can carry */
  implausible: 8,
} as const

export const unitWh = 30

/** When the sum of a substation's interval may leave the gateway: nobody's life may be read from it. */
export const releaseRule = {
  /** meters with a value other than zero, the least */
  metersMin: 10,
  /** of the sum that one meter holds, the most, in percent */
  sharePercentMax: 15,
} as const

const namePattern = /^[A-Za-z0-9._-]{1,64}$/

/** @throws PeerError `UPLINK_IDENTITY` */
export function concentratorId(text: string): ConcentratorId {
  if (!namePattern.test(text)) throw new PeerError('UPLINK_IDENTITY', 'a concentrator is 1 to 64 of A-Z a-z 0-9 . _ -')
  return text as ConcentratorId
}

/** @throws PeerError `UPLINK_IDENTITY` */
export function substationId(text: string): SubstationId {
  if (!namePattern.test(text)) throw new PeerError('UPLINK_IDENTITY', 'a substation is 1 to 64 of A-Z a-z 0-9 . _ -')
  return text as SubstationId
}

/** @param octets eight of them @throws PeerError `SYSTEM_TITLE` */
export function systemTitle(octets: Uint8Array): SystemTitle {
  if (octets.length !== 8) throw new PeerError('SYSTEM_TITLE', `${octets.length} octets, a system title has 8`)
  return Buffer.from(octets.buffer, octets.byteOffset, octets.length).toString('hex') as SystemTitle
}

/** @param hex 16 hex digits @throws PeerError `SYSTEM_TITLE` */
export function parseSystemTitle(hex: string): SystemTitle {
  if (!/^[0-9a-fA-F]{16}$/.test(hex)) throw new PeerError('SYSTEM_TITLE', 'a system title is 16 hex digits')
  return hex.toLowerCase() as SystemTitle
}
