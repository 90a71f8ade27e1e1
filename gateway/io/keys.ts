import { readFileSync, statSync } from 'node:fs'
import { ConfigError } from '../errors.ts'
import { type LinkKey, parseLinkKey } from '../oneway/mac.ts'
import { kekOctets } from './registry.ts'

/**
 * A file that only its owner may read.
 * @param key how the configuration calls it
 * @throws ConfigError when it is not there or others may read it; the message holds nothing of it
 */
export function readSecret(key: string, file: string): Buffer {
  try {
    const mode = statSync(file).mode & 0o777
    if ((mode & 0o077) !== 0)
      throw new ConfigError([`${key}: ${file} is open to others (${mode.toString(8)}): chmod 600`])
    return readFileSync(file)
  } catch (error) {
    if (error instanceof ConfigError) throw error
    throw new ConfigError([`${key}: cannot read ${file} (${(error as NodeJS.ErrnoException).code})`])
  }
}

/** @throws ConfigError when it cannot be read */
export function readPublic(key: string, file: string): Buffer {
  try {
    return readFileSync(file)
  } catch (error) {
    throw new ConfigError([`${key}: cannot read ${file} (${(error as NodeJS.ErrnoException).code})`])
  }
}

/** The key of the one-way link's MACs from its file's text. @throws ConfigError; the message holds nothing of it */
export function readLinkKey({ id, file }: { id: number; file: string }): LinkKey {
  return { id, key: parseLinkKey('linkKey.file', readSecret('linkKey.file', file).toString('utf8')) }
}

/** The key-encryption key from its file's text. @throws ConfigError; the message holds nothing of it */
export function readKek(file: string): Buffer {
  const hex = readSecret('kekFile', file).toString('utf8').trim()
  if (!/^[0-9a-fA-F]+$/.test(hex) || hex.length !== kekOctets * 2) {
    throw new ConfigError([`kekFile: ${kekOctets} octets as ${kekOctets * 2} hex digits`])
  }
  return Buffer.from(hex, 'hex')
}
