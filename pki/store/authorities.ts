import { type Certificate, parseCertificate } from '../certificate.ts'
import { PkiError } from '../errors.ts'
import type { Authority } from '../issue.ts'
import { profileSets } from '../key-algorithm.ts'
import type { SigningKey } from '../keystore/keystore.ts'
import type { KeyPlaces } from '../keystore/places.ts'
import { type AuthorityName, type Generation, generationParts } from '../profiles.ts'
import { equalOctets } from '../signature.ts'
import { generationsIn, readCertificate } from './authority.ts'
import type { StoreConfig } from './config.ts'

/** The CAs of a store, with every key each has had: certificates are read at once, a key is opened when it is first needed. */
export class Authorities {
  /** oldest first */
  readonly #certificates: Map<Generation, Certificate>
  readonly #config: StoreConfig
  readonly #places: KeyPlaces
  readonly #open = new Map<Generation, Promise<Authority>>()

  private constructor(
    certificates: Map<Generation, Certificate>,
    { config, places }: { config: StoreConfig; places: KeyPlaces },
  ) {
    this.#certificates = certificates
    this.#config = config
    this.#places = places
  }

  /** @throws PkiError `STORE_MISSING` */
  static async read(dir: string, parts: { config: StoreConfig; places: KeyPlaces }): Promise<Authorities> {
    const read = async (name: Generation): Promise<[Generation, Certificate]> => [
      name,
      await readCertificate(dir, name),
    ]
    return new Authorities(new Map(await Promise.all((await generationsIn(dir)).map(read))), parts)
  }

  certificate(generation: Generation): Certificate {
    return this.#certificates.get(generation)!
  }

  /** Every key of every CA whose certificate has not ended, oldest first. @param at seconds since 1970 */
  live(at: number): Generation[] {
    return [...this.#certificates].filter(([, { notAfter }]) => notAfter >= at).map(([generation]) => generation)
  }

  /** The key that a CA issues with: its last. */
  current(name: AuthorityName): Generation {
    return this.all(name).at(-1)!
  }

  /** Every key of one CA, oldest first. */
  all(name: AuthorityName): Generation[] {
    return [...this.#certificates.keys()].filter((generation) => generationParts(generation).name === name)
  }

  /** Takes in a key that was certified since. */
  learn(generation: Generation, der: Uint8Array): void {
    if (!this.#certificates.has(generation)) this.#certificates.set(generation, parseCertificate(der))
  }

  /**
   * Makes the key of a generation that is not certified yet. One that is there was made by somebody who did not come to
   * certifying it, and is taken away.
   */
  async makeKey(generation: Generation): Promise<SigningKey> {
    const store = await this.#places.at(this.#config.keys[generationParts(generation).name])
    await store.remove(generation)
    return store.generate(generation, profileSets[this.#config.profileSet].authority)
  }

  /** @throws PkiError `ROOT_OFFLINE`, `STORE_KEY`, and what its keystore throws */
  open(name: Generation): Promise<Authority> {
    if (name === 'root') return this.#opening(name) // rarely needed, and not kept
    const opening = this.#open.get(name) ?? this.#opening(name)
    this.#open.set(name, opening)
    opening.catch(() => this.#open.delete(name)) // a token may come back
    return opening
  }

  async #opening(name: Generation): Promise<Authority> {
    const store = await this.#places.at(this.#config.keys[generationParts(name).name])
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
