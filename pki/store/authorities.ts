import type { Certificate } from '../certificate.ts'
import { PkiError } from '../errors.ts'
import type { Authority } from '../issue.ts'
import type { KeyPlaces } from '../keystore/places.ts'
import { type AuthorityName, authorityNames } from '../profiles.ts'
import { equalOctets } from '../signature.ts'
import { readCertificate } from './authority.ts'
import type { StoreConfig } from './config.ts'

/** The CAs of a store: their certificates are read at once, each key is opened when it is first needed. */
export class Authorities {
  readonly #certificates: ReadonlyMap<AuthorityName, Certificate>
  readonly #config: StoreConfig
  readonly #places: KeyPlaces
  readonly #open = new Map<AuthorityName, Promise<Authority>>()

  private constructor(
    certificates: ReadonlyMap<AuthorityName, Certificate>,
    { config, places }: { config: StoreConfig; places: KeyPlaces },
  ) {
    this.#certificates = certificates
    this.#config = config
    this.#places = places
  }

  /** @throws PkiError `STORE_MISSING` */
  static async read(dir: string, parts: { config: StoreConfig; places: KeyPlaces }): Promise<Authorities> {
    const read = async (name: AuthorityName): Promise<[AuthorityName, Certificate]> => [
      name,
      await readCertificate(dir, name),
    ]
    return new Authorities(new Map(await Promise.all(authorityNames.map(read))), parts)
  }

  certificate(name: AuthorityName): Certificate {
    return this.#certificates.get(name)!
  }

  /** @throws PkiError `ROOT_OFFLINE`, `STORE_KEY`, and what its keystore throws */
  open(name: AuthorityName): Promise<Authority> {
    if (name === 'root') return this.#opening(name) // rarely needed, and not kept
    const opening = this.#open.get(name) ?? this.#opening(name)
    this.#open.set(name, opening)
    opening.catch(() => this.#open.delete(name)) // a token may come back
    return opening
  }

  async #opening(name: AuthorityName): Promise<Authority> {
    const store = await this.#places.at(this.#config.keys[name])
    if (name === 'root' && !(await store.has(name))) {
      throw new PkiError('ROOT_OFFLINE', 'the root key is away: this needs the directory root/, or its token')
    }
    const key = await store.open(name)
    const certificate = this.certificate(name)
    if (!equalOctets(key.publicKey, certificate.publicKey)) {
      throw new PkiError('STORE_KEY', `${name}: the key is not the certificate's`)
    }
    return { certificate, sign: (octets) => key.sign(octets) }
  }

  close(): Promise<void> {
    return this.#places.close()
  }
}
