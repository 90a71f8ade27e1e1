import { createCipheriv, createDecipheriv, randomBytes, timingSafeEqual } from 'node:crypto'
import { PkiError } from '../errors.ts'
import { derive } from '../store/keys.ts'

/** Octets of plain text in one piece, the most. */
export const pieceOctets: number = 1 << 20
/** Pieces in one backup, the most: 64 GiB. */
export const piecesMax = 65_536
/** Octets of the head line, its line feed included, the most. */
export const headOctetsMax = 1_024

const tagOctets = 16
/** In a piece's length: that no other follows. */
const lastMark = 0x80_00_00_00

/** What may be known of a backup without its passphrase; all of it is authenticated. */
export interface Head {
  format: 'ami-pki-backup'
  version: 1
  /** `id` of the store */
  store: string
  /** whole seconds since 1970 */
  madeAt: number
  /** entries of the audit log within */
  audit: number
  /** base64, 16 octets: of scrypt, with the cost that keys in files have */
  salt: string
  /** base64, 16 octets from scrypt: tells another passphrase from a changed file */
  check: string
}

/** A key for one backup alone, and the head line that says what it was derived with. */
export interface Sealing {
  key: Buffer
  /** with its line feed */
  line: Buffer
}

/** A fresh salt makes a fresh key, so that counting pieces is nonce enough. */
export async function newSealing(passphrase: string, head: Pick<Head, 'store' | 'madeAt' | 'audit'>): Promise<Sealing> {
  const salt = randomBytes(16)
  const derived = await derive(passphrase, salt, 48)
  const whole: Head = {
    format: 'ami-pki-backup',
    version: 1,
    store: head.store,
    madeAt: head.madeAt,
    audit: head.audit,
    salt: salt.toString('base64'),
    check: derived.subarray(32).toString('base64'),
  }
  return { key: derived.subarray(0, 32), line: Buffer.from(`${JSON.stringify(whole)}\n`) }
}

/** @throws PkiError `BACKUP_FORM` */
export function parseHead(line: Uint8Array): Head {
  const text = Buffer.from(line).toString('latin1')
  const form =
    /^\{"format":"ami-pki-backup","version":1,"store":"[0-9a-f]{16}","madeAt":\d{1,12},"audit":\d{1,15},"salt":"[A-Za-z0-9+/]{22}==","check":"[A-Za-z0-9+/]{22}=="\}\n$/
  if (!form.test(text)) throw new PkiError('BACKUP_FORM', 'not a backup of a PKI, or of a version that is not known')
  return JSON.parse(text) as Head
}

/** @throws PkiError `BACKUP_PASSPHRASE` */
export async function sealingOf(line: Buffer, passphrase: string): Promise<Sealing> {
  const { salt, check } = parseHead(line)
  const derived = await derive(passphrase, Buffer.from(salt, 'base64'), 48)
  if (!timingSafeEqual(derived.subarray(32), Buffer.from(check, 'base64'))) {
    throw new PkiError('BACKUP_PASSPHRASE', 'the passphrase does not open the backup, or its head was changed')
  }
  return { key: derived.subarray(0, 32), line }
}

function nonceOf(index: number): Buffer {
  const nonce = Buffer.alloc(12)
  nonce.writeUInt32BE(index, 8)
  return nonce
}

/**
 * AES-256-GCM in pieces: length and last-mark (4 octets, big-endian), cipher text, tag. Each piece authenticates the head, its own
 * length and, by its nonce, its place; the mark says where the end is, so that none can be cut off, moved or added.
 * @throws PkiError `BACKUP_LIMIT`
 */
export async function* seal({ key, line }: Sealing, plain: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  yield line
  let index = 0
  let held: Uint8Array | undefined
  for await (const piece of inPieces(plain)) {
    if (held !== undefined) yield sealPiece({ key, line }, held, { index: index++, last: false })
    if (index >= piecesMax - 1) throw new PkiError('BACKUP_LIMIT', `over ${piecesMax} pieces of ${pieceOctets} octets`)
    held = piece
  }
  yield sealPiece({ key, line }, held ?? new Uint8Array(0), { index, last: true })
}

function sealPiece(
  { key, line }: Sealing,
  plain: Uint8Array,
  { index, last }: { index: number; last: boolean },
): Buffer {
  const length = Buffer.alloc(4)
  length.writeUInt32BE((plain.length | (last ? lastMark : 0)) >>> 0)
  const cipher = createCipheriv('aes-256-gcm', key, nonceOf(index))
  cipher.setAAD(Buffer.concat([line, length]))
  return Buffer.concat([length, cipher.update(plain), cipher.final(), cipher.getAuthTag()])
}

async function* inPieces(plain: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  let waiting: Uint8Array[] = []
  let octets = 0
  for await (const one of plain) {
    waiting.push(one)
    octets += one.length
    if (octets < pieceOctets) continue
    const all = Buffer.concat(waiting)
    let at = 0
    for (; all.length - at >= pieceOctets; at += pieceOctets) yield all.subarray(at, at + pieceOctets)
    waiting = [all.subarray(at)]
    octets = all.length - at
  }
  if (octets > 0) yield Buffer.concat(waiting)
}

/** Reads exactly that many octets, or fewer at the end. */
export type Take = (octets: number) => Promise<Buffer>

/**
 * The plain text, piece by piece, each authenticated before it is given; only after the last is the whole known to be whole.
 * @throws PkiError `BACKUP_CHANGED` for any octet that is not as it was written, is missing, or follows
 */
export async function* unseal({ key, line }: Sealing, take: Take): AsyncGenerator<Uint8Array> {
  for (let index = 0; index < piecesMax; index += 1) {
    const length = await take(4)
    if (length.length < 4) throw changed('it ends early')
    const number = length.readUInt32BE()
    const octets = number & ~lastMark
    if (octets > pieceOctets) throw changed(`a piece of ${octets} octets`)
    const sealed = await take(octets + tagOctets)
    if (sealed.length < octets + tagOctets) throw changed('it ends early')
    yield openPiece({ key, line }, { length, sealed, index })
    if (number >= lastMark) {
      if ((await take(1)).length > 0) throw changed('something follows its end')
      return
    }
  }
  throw changed('it has no end')
}

function openPiece(
  { key, line }: Sealing,
  { length, sealed, index }: { length: Buffer; sealed: Buffer; index: number },
): Uint8Array {
  const end = sealed.length - tagOctets
  const decipher = createDecipheriv('aes-256-gcm', key, nonceOf(index), { authTagLength: tagOctets })
  decipher.setAAD(Buffer.concat([line, length]))
  decipher.setAuthTag(sealed.subarray(end))
  try {
    return Buffer.concat([decipher.update(sealed.subarray(0, end)), decipher.final()])
  } catch (cause) {
    throw new PkiError('BACKUP_CHANGED', `piece ${index} is not as it was written`, { cause })
  }
}

function changed(how: string): PkiError {
  return new PkiError('BACKUP_CHANGED', `the backup is not as it was written: ${how}`)
}
