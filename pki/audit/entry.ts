import { PkiError } from '../errors.ts'

/** What is told of. Public text: add, never rename. */
export const auditKinds = [
  'issued',
  'refused',
  'revoked',
  'crl-signed',
  'key-used',
  'key-made',
  'imported',
  'removed',
  'ceremony',
  'backup',
  'restore',
  'rotate',
  'enrolment-quarantined',
  'enrolment-released',
] as const

export type AuditKind = (typeof auditKinds)[number]

/**
 * One act. There is no room for free text, so that no secret and nothing about a person gets in: who acts and for whom
 * are identities of this PKI, the artefact itself is named by its digest.
 */
export interface AuditEntry {
  /** whole seconds since 1970 */
  time: number
  kind: AuditKind
  /** who had it done: a role or a service (`cli`, `est`, `urn:ami:operator:7`), 1 to 128 printable characters, no spaces */
  actor: string
  /** whose certificate or key: a URN, an id, the name of an authority; 1 to 256 printable characters, no spaces */
  subject?: string
  /** upper-case hex, 1 to 20 octets */
  serial?: string
  /** SHA-256 of the artefact (DER of a certificate or CRL, a backup, a transcript), lower-case hex */
  digest?: string
  /** a code: of a refusal, a revocation, a purpose; 1 to 64 of `A-Z a-z 0-9 . _ -` */
  reason?: string
}

/** Octets of one entry, the most, its line feed not counted. */
export const entryOctetsMax = 4_096

/** In the order in which an entry is written. */
const fields: Readonly<Record<keyof AuditEntry, (value: unknown) => boolean>> = {
  time: (value) => Number.isSafeInteger(value) && Number(value) >= 0 && Number(value) < 253_402_300_800,
  kind: (value) => auditKinds.some((kind) => kind === value),
  actor: matching(/^[\x21-\x7e]{1,128}$/),
  subject: matching(/^[\x21-\x7e]{1,256}$/),
  serial: matching(/^([0-9A-F]{2}){1,20}$/),
  digest: matching(/^[0-9a-f]{64}$/),
  reason: matching(/^[A-Za-z0-9._-]{1,64}$/),
}
const names = Object.keys(fields) as (keyof AuditEntry)[]
const required: readonly (keyof AuditEntry)[] = ['time', 'kind', 'actor']

function matching(pattern: RegExp): (value: unknown) => boolean {
  return (value) => typeof value === 'string' && pattern.test(value)
}

/**
 * One line of JSON, without its line feed: the fields that there are, in a fixed order, and no space, so that an entry
 * has one form only.
 * @throws PkiError `AUDIT_ENTRY` naming the field
 */
export function encodeEntry(entry: AuditEntry): string {
  const bad = fault({ ...entry })
  if (bad !== undefined) throw new PkiError('AUDIT_ENTRY', bad)
  return JSON.stringify(entry, names)
}

function fault(entry: Record<string, unknown>): string | undefined {
  const unknown = Object.keys(entry).find((name) => !Object.hasOwn(fields, name))
  if (unknown !== undefined) return `an entry has no field '${unknown}'`
  const bad = names.find((name) => (required.includes(name) || entry[name] !== undefined) && !fields[name](entry[name]))
  return bad && `the field '${bad}' of an entry is missing or not in its form`
}

/** Reads what `encodeEntry` writes, and nothing else. @throws PkiError `AUDIT_ENTRY` */
export function parseEntry(line: Uint8Array): AuditEntry {
  if (line.length > entryOctetsMax) throw new PkiError('AUDIT_ENTRY', `over ${entryOctetsMax} octets`)
  const text = Buffer.from(line.buffer, line.byteOffset, line.length).toString('latin1')
  const entry = parseJson(text)
  if (encodeEntry(entry) !== text) throw new PkiError('AUDIT_ENTRY', 'an entry that is not in its one form')
  return entry
}

function parseJson(text: string): AuditEntry {
  try {
    const value: unknown = JSON.parse(text)
    if (typeof value === 'object' && value !== null) return value as AuditEntry // its fields are judged on writing it again
  } catch (cause) {
    throw new PkiError('AUDIT_ENTRY', 'an entry that is not JSON', { cause })
  }
  throw new PkiError('AUDIT_ENTRY', 'an entry that is no JSON object')
}
