import { createPublicKey, type KeyObject } from 'node:crypto'
import { PkiError } from '../errors.ts'
import { publicKeyOctets } from '../issue.ts'
import { type KeyAlgorithm, type KeyAlgorithmName, keyAlgorithms, signWith } from '../key-algorithm.ts'
import { algorithmOf } from '../unsigned.ts'
import type { KeyStore, SigningKey } from './keystore.ts'

/** A key of this process. */
export function processKey(privateKey: KeyObject, algorithm?: KeyAlgorithm): SigningKey {
  const publicKey = publicKeyOctets(createPublicKey(privateKey))
  const known = algorithm ?? algorithmOf(publicKey)
  return { publicKey, sign: async (octets) => signWith(known, octets, privateKey) }
}

/** Keys that die with the process, for tests. */
export class MemoryKeyStore implements KeyStore {
  readonly kind = 'memory'
  readonly #keys = new Map<string, SigningKey>()

  async generate(name: string, algorithm: KeyAlgorithmName): Promise<SigningKey> {
    if (this.#keys.has(name)) throw new PkiError('KEYSTORE_EXISTS', `there is a key '${name}' already`)
    const key = processKey(keyAlgorithms[algorithm].make().privateKey, keyAlgorithms[algorithm])
    this.#keys.set(name, key)
    return key
  }

  async open(name: string): Promise<SigningKey> {
    const key = this.#keys.get(name)
    if (key === undefined) throw new PkiError('KEYSTORE_KEY', `there is no key '${name}'`)
    return key
  }

  async has(name: string): Promise<boolean> {
    return this.#keys.has(name)
  }

  async remove(name: string): Promise<void> {
    this.#keys.delete(name)
  }

  async close(): Promise<void> {
    // the keys stay: who opens the store again finds them
  }
}
