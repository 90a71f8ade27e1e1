import { readFileSync } from 'node:fs'
import { join } from 'node:path'

export const signedContent: Uint8Array = Buffer.from('content')

/** DER written by `pki/make.ts`. */
export function pkiSample(name: 'root' | 'ca' | 'leaf' | 'crl' | 'cms'): Uint8Array {
  return Uint8Array.from(readFileSync(join(import.meta.dirname, 'pki', `${name}.der`)))
}
