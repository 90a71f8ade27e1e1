import { access, rm } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { PkiError } from '../errors.ts'
import { type KeyAlgorithmName, keyAlgorithms } from '../key-algorithm.ts'
import { makePrivate, readText, writeDurably } from '../store/files.ts'
import { decryptKey, encryptKey } from '../store/keys.ts'
import type { KeyStore, SigningKey } from './keystore.ts'
import { processKey } from './memory.ts'

/** Encrypted files `<name>/key.pem` under one directory, all with one passphrase. */
export class Pkcs8KeyStore implements KeyStore {
  readonly kind = 'pkcs8'
  readonly #dir: string
  readonly #passphrase: string

  constructor(dir: string, passphrase: string) {
    this.#dir = dir
    this.#passphrase = passphrase
  }

  #path(name: string): string {
    return join(this.#dir, name, 'key.pem')
  }

  async generate(name: string, algorithm: KeyAlgorithmName): Promise<SigningKey> {
    if (await this.has(name)) throw new PkiError('KEYSTORE_EXISTS', `there is a key '${name}' already`)
    const { privateKey } = keyAlgorithms[algorithm].make()
    await makePrivate(dirname(this.#path(name)))
    await writeDurably(this.#path(name), await encryptKey(privateKey, this.#passphrase))
    return processKey(privateKey, keyAlgorithms[algorithm])
  }

  async open(name: string): Promise<SigningKey> {
    if (!(await this.has(name))) throw new PkiError('KEYSTORE_KEY', `${this.#path(name)} is not there`)
    return processKey(decryptKey(await readText(this.#path(name)), this.#passphrase))
  }

  async has(name: string): Promise<boolean> {
    return access(this.#path(name)).then(
      () => true,
      () => false,
    )
  }

  async remove(name: string): Promise<void> {
    await rm(this.#path(name), { force: true })
  }

  async close(): Promise<void> {
    // nothing is held open
  }
}
