import { PkiError } from '../errors.ts'
import { readSecretLine } from '../store/keys.ts'
import type { KeyPlace, KeyStore } from './keystore.ts'
import { MemoryKeyStore } from './memory.ts'
import { Pkcs8KeyStore } from './pkcs8.ts'
import { Pkcs11KeyStore } from './pkcs11.ts'

export interface PlaceOptions {
  /** of the store, for `pkcs8` */
  dir: string
  /** opens the `pkcs8` keys */
  passphrase: string | undefined
  /** before the keys' names on a token */
  prefix: string
  /** stands for every place of kind `memory` */
  memory?: KeyStore
}

/** The keystores of one store, each opened when it is first asked for. */
export class KeyPlaces {
  readonly #options: PlaceOptions
  readonly #open = new Map<string, Promise<KeyStore>>()

  constructor(options: PlaceOptions) {
    this.#options = options
  }

  /** @throws PkiError `STORE_PASSPHRASE` when none was given and one is needed, `KEYSTORE_MISSING`, `KEYSTORE_PIN` */
  at(place: KeyPlace): Promise<KeyStore> {
    const key = JSON.stringify(place)
    const opening = this.#open.get(key) ?? this.#opening(place)
    this.#open.set(key, opening)
    opening.catch(() => this.#open.delete(key)) // tried anew when asked again
    return opening
  }

  async #opening(place: KeyPlace): Promise<KeyStore> {
    const { dir, passphrase, prefix, memory } = this.#options
    if (place.kind === 'memory') return memory ?? new MemoryKeyStore()
    if (place.kind === 'pkcs11') {
      const pin = await readSecretLine(place.pinFile)
      return Pkcs11KeyStore.open({ module: place.module, token: place.token, pin, prefix })
    }
    if (passphrase === undefined) throw new PkiError('STORE_PASSPHRASE', 'a passphrase is needed, and none was given')
    return new Pkcs8KeyStore(dir, passphrase)
  }

  async close(): Promise<void> {
    for (const opening of this.#open.values()) {
      const store = await opening.catch(() => undefined) // who asked was told
      await store?.close()
    }
  }
}
