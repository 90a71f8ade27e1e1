import { hash } from 'node:crypto'
import { PkiError } from '../errors.ts'
import { equalOctets, signatureHolds } from '../signature.ts'
import { type Digest, digestOctets } from './merkle.ts'

/** A log's head at one moment. */
export interface Checkpoint {
  /** which log: 1 to 128 of `A-Z a-z 0-9 . _ / -`, a URL without its scheme; also the name of its key */
  origin: string
  /** entries */
  size: number
  root: Digest
  /** whole seconds since 1970 */
  time: number
  /** octets of the entries' file at this size, so that reading may begin there */
  octets: number
}

/** The log's own key in use. An HSM would stand behind the same two fields. */
export interface AuditSigner {
  /** DER of the SubjectPublicKeyInfo, P-256 */
  publicKey: Uint8Array
  /** ECDSA with SHA-256, DER */
  sign(octets: Uint8Array): Promise<Uint8Array>
}

/** Octets of one note, the most. */
export const noteOctetsMax = 1_024

const dash = '\u2014'
const originPattern = /^[A-Za-z0-9._/-]{1,128}$/
const notePattern = new RegExp(
  '^(?<origin>[A-Za-z0-9._/-]{1,128})\\n(?<size>0|[1-9]\\d{0,15})\\n(?<root>[A-Za-z0-9+/]{43}=)\\n' +
    `time (?<time>0|[1-9]\\d{0,11})\\noctets (?<octets>0|[1-9]\\d{0,15})\\n\\n${dash} (?<name>\\S+) (?<proof>[A-Za-z0-9+/]+=*)\\n$`,
)

/** The text that is signed. @throws PkiError `AUDIT_CHECKPOINT` for an origin of other characters */
function bodyOf({ origin, size, root, time, octets }: Checkpoint): string {
  if (!originPattern.test(origin)) throw new PkiError('AUDIT_CHECKPOINT', `'${origin}' is no origin of a log`)
  return `${origin}\n${size}\n${Buffer.from(root).toString('base64')}\ntime ${time}\noctets ${octets}\n`
}

/** The first four octets of the key's SHA-256: a hint, not a proof. @see C2SP signed-note, signature type 0x02 */
function keyHint(publicKey: Uint8Array): Uint8Array {
  return hash('sha256', publicKey, 'buffer').subarray(0, 4)
}

function noteOf(body: string, origin: string, proof: Uint8Array): string {
  return `${body}\n${dash} ${origin} ${Buffer.from(proof).toString('base64')}\n`
}

/**
 * A signed note: origin, size, head and two lines of our own (`time`, `octets`), an empty line, one ECDSA signature.
 * @throws PkiError `AUDIT_CHECKPOINT`
 * @see C2SP tlog-checkpoint and signed-note
 */
export async function signCheckpoint(checkpoint: Checkpoint, signer: AuditSigner): Promise<string> {
  const body = bodyOf(checkpoint)
  const signature = await signer.sign(Buffer.from(body))
  return noteOf(body, checkpoint.origin, Buffer.concat([keyHint(signer.publicKey), signature]))
}

/**
 * Reads a note that this key signed, in its one form.
 * @throws PkiError `AUDIT_CHECKPOINT`
 */
export function openCheckpoint(note: string, publicKey: Uint8Array): Checkpoint {
  const { name, proof, ...checkpoint } = parseNote(note)
  const body = bodyOf(checkpoint)
  if (name !== checkpoint.origin || noteOf(body, name, proof) !== note || checkpoint.root.length !== digestOctets) {
    throw new PkiError('AUDIT_CHECKPOINT', 'a checkpoint that is not in its one form')
  }
  const ours = equalOctets(proof.subarray(0, 4), keyHint(publicKey))
  if (!ours || !signatureHolds(publicKey, Buffer.from(body), proof.subarray(4))) {
    throw new PkiError('AUDIT_CHECKPOINT', `the checkpoint of size ${checkpoint.size} is not signed by the log's key`)
  }
  return checkpoint
}

function parseNote(note: string): Checkpoint & { name: string; proof: Uint8Array } {
  const found = note.length <= noteOctetsMax ? notePattern.exec(note)?.groups : undefined
  if (found === undefined) throw new PkiError('AUDIT_CHECKPOINT', 'a checkpoint that is not in its form')
  return {
    origin: found.origin!,
    size: Number(found.size),
    root: Buffer.from(found.root!, 'base64'),
    time: Number(found.time),
    octets: Number(found.octets),
    name: found.name!,
    proof: Buffer.from(found.proof!, 'base64'),
  }
}

/**
 * The notes of a file, each followed by an empty line.
 * @returns them in order, and what stands behind the last one
 */
export function splitNotes(text: string): { notes: string[]; rest: string } {
  const pieces = text.split(/(?<=\n)\n/) // body, signature line, body, signature line, …, what is left
  const notes: string[] = []
  let at = 0
  for (; at + 2 < pieces.length && pieces[at + 1]!.startsWith(dash); at += 2)
    notes.push(`${pieces[at]}\n${pieces[at + 1]}`)
  return { notes, rest: pieces.slice(at).join('\n') }
}

/** The last whole note of a file's end, if it holds one, and the octets that stand behind it. */
export function lastNote(end: string): { note: string | undefined; rest: string } {
  const pieces = end.split(/(?<=\n)\n/)
  const at = pieces.findLastIndex((piece, index) => index > 0 && index + 1 < pieces.length && piece.startsWith(dash))
  if (at === -1) return { note: undefined, rest: end }
  return { note: `${pieces[at - 1]}\n${pieces[at]}`, rest: pieces.slice(at + 1).join('\n') }
}
