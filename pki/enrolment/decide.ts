/** A certificate that a device was given. */
export interface Given {
  /** upper-case hex */
  serial: string
  /** SHA-256 of its SubjectPublicKeyInfo, hex */
  key: string
  /** serial of the certificate that it renewed; `undefined`: enrolled with the manufacturer's */
  parent: string | undefined
  /** seconds since 1970 */
  notAfter: number
  revoked: boolean
}

/** What is known of one device: a line of the shipment manifest, and what became of it. */
export interface Device {
  /** who it will be: the subject of its certificates */
  concentrator: string
  /** why it gets nothing until an operator releases it; `undefined`: it is in order */
  quarantined: string | undefined
  /** in the order in which they were asked for */
  given: readonly Given[]
}

/** With which certificate it came; that chain, validity and, of ours, revocation hold has been judged before. */
export type Presented = { kind: 'manufacturer' } | { kind: 'operational'; serial: string }

/** Why a device gets no certificate. Stable, public text. */
export type EnrolmentFault =
  /** not in a manifest, or not the one that it says */
  | 'ENROLMENT_UNKNOWN'
  | 'ENROLMENT_QUARANTINED'
  /** the same manufacturer identity came with two keys: one of them is a copy */
  | 'ENROLMENT_CLONE'
  /** the certificate that it came with is not its own, or no longer good for a renewal */
  | 'ENROLMENT_CERTIFICATE'
  | 'ENROLMENT_KEY'

export type Decision =
  /** a new one; `supersede`: serials of those that it replaces at once */
  | { kind: 'issue'; parent: string | undefined; supersede: string[] }
  /** the answer was lost on its way: the one that it was given already; `supersede`: what a crash left to be revoked */
  | { kind: 'again'; serial: string; supersede: string[] }
  /** nothing, and what it holds is revoked */
  | { kind: 'quarantine'; code: 'ENROLMENT_CLONE'; detail: string; revoke: string[] }
  | { kind: 'refuse'; code: EnrolmentFault; detail: string }

/**
 * Whether a device gets a certificate for this key.
 *
 * One live certificate a device: whoever comes with the manufacturer's certificate and another key while one is live holds
 * a copy, or the one who has the live one does; nobody can tell from here, so both stop. A renewal may be asked for again
 * as long as its answer was not used: the first successor is superseded then. A renewal from a certificate whose successor
 * has renewed in turn is a copy too.
 * @param key SHA-256 of the SubjectPublicKeyInfo asked for, hex; its possession is proven
 * @param now seconds since 1970
 */
export function decide(device: Device, presented: Presented, key: string, now: number): Decision {
  if (device.quarantined !== undefined) {
    return refuse('ENROLMENT_QUARANTINED', `${device.concentrator} waits for an operator: ${device.quarantined}`)
  }
  const before = device.given.findIndex((one) => one.key === key)
  if (before !== -1) return repeated(device, before, presented, now)
  return presented.kind === 'manufacturer' ? enrol(device, now) : renew(device, presented.serial, now)
}

/** A key that was certified before: the same question again, or one that is over. */
function repeated(device: Device, at: number, presented: Presented, now: number): Decision {
  const before = device.given[at]!
  const isSame = before.parent === (presented.kind === 'manufacturer' ? undefined : presented.serial)
  const siblings = device.given.filter((one) => one.parent !== undefined && one.parent === before.parent)
  const isLast = siblings.length === 0 || siblings.at(-1) === before
  if (!isSame || !isLast || !isLive(before, now)) {
    return refuse('ENROLMENT_KEY', 'the key was certified before: each certificate needs a key of its own')
  }
  const supersede = siblings.filter((one) => one !== before && isUnrevoked(one)).map(({ serial }) => serial)
  return { kind: 'again', serial: before.serial, supersede }
}

function enrol({ given, concentrator }: Device, now: number): Decision {
  const live = given.filter((one) => isLive(one, now)).map(({ serial }) => serial)
  if (live.length === 0) return { kind: 'issue', parent: undefined, supersede: [] }
  const detail = `${concentrator} enrolled with another key while ${live.join(', ')} is live`
  return { kind: 'quarantine', code: 'ENROLMENT_CLONE', detail, revoke: live }
}

function renew({ given, concentrator }: Device, serial: string, now: number): Decision {
  const parent = given.find((one) => one.serial === serial)
  if (parent === undefined || !isLive(parent, now)) {
    return refuse('ENROLMENT_CERTIFICATE', `${serial} is not a live certificate of ${concentrator}`)
  }
  const successors = given.filter((one) => one.parent === serial)
  const used = successors.find((successor) => given.some((one) => one.parent === successor.serial))
  if (used === undefined) {
    return { kind: 'issue', parent: serial, supersede: successors.filter(isUnrevoked).map((one) => one.serial) }
  }
  const live = given.filter((one) => isLive(one, now)).map((one) => one.serial)
  const detail = `${serial} of ${concentrator} renews again, though its successor ${used.serial} was renewed`
  return { kind: 'quarantine', code: 'ENROLMENT_CLONE', detail, revoke: live }
}

function isLive({ notAfter, revoked }: Given, now: number): boolean {
  return !revoked && notAfter >= now
}

function isUnrevoked({ revoked }: Given): boolean {
  return !revoked
}

function refuse(code: EnrolmentFault, detail: string): Decision {
  return { kind: 'refuse', code, detail }
}
