import { createReadStream } from 'node:fs'
import { PeerError } from '#gateway/errors.ts'
import { UsageError } from '../command.ts'

/** Characters of input, white space and all. */
const inputCharactersMax = 4_194_304
/** Octets in the input. */
const inputOctetsMax = 1_048_576

/**
 * All of a file or of standard input, an octet a character.
 * @param file `-` for standard input
 * @throws UsageError
 */
export async function readInput(file: string): Promise<string> {
  const stream = file === '-' ? process.stdin.setEncoding('latin1') : createReadStream(file, { encoding: 'latin1' })
  let text = ''
  try {
    for await (const chunk of stream) {
      text += chunk
      if (text.length > inputCharactersMax) throw new UsageError(`decode: more than ${inputCharactersMax} characters`)
    }
  } catch (cause) {
    if (cause instanceof UsageError) throw cause
    throw new UsageError(`decode: ${(cause as Error).message}`, { cause })
  }
  return text
}

/** What people put between octets, and in front of each. */
const separators = /0x|\\x|[\s,;:\-|{}[\]"']+/gi
/** Neither printable nor white space: no text. */
const binary = /[^\t\n\r\x20-\x7e]/
/** A P1 telegram in clear begins with a slash and three letters of the manufacturer. */
const telegram = /(^|\n)\/[A-Za-z]{3}/

/**
 * The octets that a text is: hex digits in any case with whatever stands between them, a P1 telegram as it is, or the
 * octets themselves.
 * @throws PeerError `FRAME_FORMAT`, `FRAME_TRUNCATED`, `FRAME_LENGTH`
 */
export function parseInput(text: string): Uint8Array {
  if (binary.test(text) || telegram.test(text)) return bounded(Buffer.from(text, 'latin1'))
  const digits = text.replace(separators, '')
  const wrong = digits.search(/[^0-9a-fA-F]/)
  const offset = Math.floor((wrong < 0 ? digits.length : wrong) / 2)
  if (wrong >= 0) throw new PeerError('FRAME_FORMAT', `'${digits[wrong]}' is no hex digit`, { offset })
  if (digits.length % 2 === 1) throw new PeerError('FRAME_TRUNCATED', 'half an octet at the end', { offset })
  if (offset === 0) throw new PeerError('FRAME_TRUNCATED', 'no octets', { offset })
  return bounded(Buffer.from(digits, 'hex'))
}

function bounded(octets: Uint8Array): Uint8Array {
  if (octets.length <= inputOctetsMax) return octets
  throw new PeerError('FRAME_LENGTH', `more than ${inputOctetsMax} octets`, { offset: inputOctetsMax })
}
