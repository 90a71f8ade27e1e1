import { encodeObis, parseObis } from '#gateway/codec/obis.ts'
import type { Obis, SystemTitle } from '#gateway/model.ts'
import {
  array,
  type CosemObject,
  cosemObject,
  integer,
  listed,
  longUnsigned,
  octetString,
  outcome,
  structure,
  whole,
} from './cosem-object.ts'

/** As whom a client comes, and what it has agreed on. */
export interface AssociationFacts {
  /** its service access point: 16 is the public client, 1 the management client */
  client: number
  /** 0 lowest to 7 */
  mechanism: number
  ciphered: boolean
  /** keys, where the meter has them for this client or another */
  security?: SecurityFacts
}

export interface SecurityFacts {
  suite: number
  /** of the meter */
  systemTitle: SystemTitle
  /** bits of `security_policy` @see Blue Book, security setup (class 64), version 1 */
  policy: number
  /** the highest invocation counter that a client has used, -1 before the first */
  received: () => number
}

/** Service access points. @see Green Book, reserved SAPs */
export const saps = { public: 16, management: 1 } as const

export const associationName: Obis = parseObis('0-0:40.0.0')
const securityName = parseObis('0-0:43.0.0')
export const counterName: Obis = parseObis('0-0:43.1.0')
const classes = { data: 1, association: 15, security: 64 } as const

/** 2.16.756.5.8.1.x is a context, 2.16.756.5.8.2.x a mechanism. */
function objectIdentifier(arc: number, number: number): Uint8Array {
  return Uint8Array.of(0x60, 0x85, 0x74, 0x05, 0x08, arc, number)
}

/**
 * The association that is open: it lists itself and the others, each with the rights that its client has.
 * @see Blue Book, Association LN (class 15), version 1
 */
export function associationObject(facts: AssociationFacts, others: readonly CosemObject[]): CosemObject {
  const { client, mechanism, ciphered, security } = facts
  const setup = security === undefined ? new Uint8Array(6) : encodeObis(securityName)
  const own: CosemObject = cosemObject(
    [classes.association, 1, associationName],
    {
      2: whole(() => array(...[own, ...others].map(listed))),
      3: whole(() => structure(integer(client), longUnsigned(1))),
      4: whole(() => octetString(objectIdentifier(1, ciphered ? 3 : 1))),
      5: {},
      6: whole(() => octetString(objectIdentifier(2, mechanism))),
      7: {}, // the secret
      8: whole(() => ({ type: 'enum', value: 2 })), // associated: else nobody could read it
      9: whole(() => octetString(setup)),
    },
    // passes 3 and 4 are the association's own: by the time that an object could be asked they are over
    { 1: mechanism > 1 ? () => outcome('read-write-denied') : undefined, 2: undefined, 3: undefined, 4: undefined },
  )
  return own
}

/** What a client needs to know before it can use a key: the public one may read it. */
export function securityObjects({ suite, systemTitle, policy, received }: SecurityFacts): CosemObject[] {
  const counter = cosemObject([classes.data, 0, counterName], {
    2: whole(() => ({ type: 'double-long-unsigned', value: Math.max(0, received()) })),
  })
  const setup = cosemObject(
    [classes.security, 1, securityName],
    {
      2: whole(() => ({ type: 'enum', value: policy })),
      3: whole(() => ({ type: 'enum', value: suite })),
      4: {},
      5: whole(() => octetString(Buffer.from(systemTitle, 'hex'))),
      6: {},
    },
    Object.fromEntries(Array.from({ length: 8 }, (_, i) => [i + 1, undefined])),
  )
  return [counter, setup]
}
