import type { Crypto, CryptoKey as TokenKey } from 'node-webcrypto-p11'
import { integer, sequence } from '../der.ts'
import { PkiError } from '../errors.ts'
import type { KeyAlgorithmName } from '../key-algorithm.ts'
import { algorithmOf } from '../unsigned.ts'
import type { KeyStore, SigningKey } from './keystore.ts'
import { SerialQueue } from './serial-queue.ts'

/** Calls that may wait for one token. A session of PKCS#11 does one thing at a time. */
export const tokenCallsMax = 1_024

/** PKCS#11 names of the curves; other kinds of keys cannot be kept on a token. */
const curves: Readonly<Partial<Record<KeyAlgorithmName, string>>> = {
  p256: 'P-256',
  brainpoolP256r1: 'brainpoolP256r1',
}

/** CKO_PUBLIC_KEY and CKO_PRIVATE_KEY. @see PKCS #11 v2.40, 4.1 */
const objectClass = { public: 2, private: 3 } as const

export interface TokenOptions {
  /** file of the PKCS#11 library */
  module: string
  /** the token's label */
  token: string
  pin: string
  /** before each key's name in its label: several PKIs may share a token */
  prefix: string
}

/**
 * Keys on a PKCS#11 token. They are made there, sensitive and not extractable, and stay there. All calls go through one
 * queue, since calls that overlap in a session fail.
 */
export class Pkcs11KeyStore implements KeyStore {
  readonly kind = 'pkcs11'
  readonly #session: TokenSession
  readonly #prefix: string

  private constructor(session: TokenSession, prefix: string) {
    this.#session = session
    this.#prefix = prefix
  }

  /** @throws PkiError `KEYSTORE_MISSING` for a library or token that is not there, `KEYSTORE_PIN` */
  static async open({ prefix, ...token }: TokenOptions): Promise<Pkcs11KeyStore> {
    return new Pkcs11KeyStore(await TokenSession.open(token), prefix)
  }

  generate(name: string, algorithm: KeyAlgorithmName): Promise<SigningKey> {
    const namedCurve = curves[algorithm]
    if (namedCurve === undefined) {
      return Promise.reject(new PkiError('KEYSTORE_ALGORITHM', `a token keeps no ${algorithm} keys`))
    }
    return this.#run(async (crypto) => {
      if (this.#find(crypto, name, 'private') !== undefined) {
        throw new PkiError('KEYSTORE_EXISTS', `the token has a key '${this.#label(name)}' already`)
      }
      const how = { name: 'ECDSA', namedCurve, token: true, sensitive: true, label: this.#label(name) }
      const { privateKey, publicKey } = await crypto.subtle.generateKey(how, false, ['sign', 'verify'])
      const octets = new Uint8Array(await crypto.subtle.exportKey('spki', publicKey))
      return this.#signingKey(octets, privateKey as TokenKey)
    })
  }

  open(name: string): Promise<SigningKey> {
    return this.#run(async (crypto) => {
      const [secret, shown] = [this.#find(crypto, name, 'private'), this.#find(crypto, name, 'public')]
      if (secret === undefined || shown === undefined) {
        throw new PkiError('KEYSTORE_KEY', `the token has no key '${this.#label(name)}'`)
      }
      const octets = await crypto.subtle.exportKey('spki', await crypto.keyStorage.getItem(shown))
      return this.#signingKey(new Uint8Array(octets), await crypto.keyStorage.getItem(secret))
    })
  }

  has(name: string): Promise<boolean> {
    return this.#run(async (crypto) => this.#find(crypto, name, 'private') !== undefined)
  }

  remove(name: string): Promise<void> {
    return this.#run(async (crypto) => {
      for (const kind of ['private', 'public'] as const) {
        const id = this.#find(crypto, name, kind)
        if (id !== undefined) await crypto.keyStorage.removeItem(id)
      }
    })
  }

  close(): Promise<void> {
    return this.#session.close()
  }

  #label(name: string): string {
    return `${this.#prefix}:${name}`
  }

  /** The storage's name of an object: class, handle and identifier. */
  #find(crypto: Crypto, name: string, kind: keyof typeof objectClass): string | undefined {
    const found = crypto.session.find({ class: objectClass[kind], token: true, label: this.#label(name) })
    if (found.length === 0) return undefined
    const key = found.items(0).toType<TokenKey['p11Object']>()
    return `${kind}-${key.handle.toString('hex')}-${key.id.toString('hex')}`
  }

  #signingKey(publicKey: Uint8Array, key: TokenKey): SigningKey {
    algorithmOf(publicKey) // seen to be a key of a kind that is known
    const how = { name: 'ECDSA', hash: 'SHA-256' }
    const sign = (octets: Uint8Array): Promise<Uint8Array> =>
      this.#run(async (crypto) => signatureDer(new Uint8Array(await crypto.subtle.sign(how, key, octets))))
    return { publicKey, sign }
  }

  #run<T>(work: (crypto: Crypto) => Promise<T>): Promise<T> {
    return this.#session.run(work)
  }
}

/** Both numbers, 32 octets each, as DER of Ecdsa-Sig-Value. @see RFC 3279, 2.2.3 */
function signatureDer(numbers: Uint8Array): Uint8Array {
  const half = numbers.length / 2
  return sequence(integer(numbers.subarray(0, half)), integer(numbers.subarray(half)))
}

/**
 * One session for each token of a process, however many stores use it: the login is the process's, and the library is not
 * unloaded, which would end the sessions of its other tokens.
 */
class TokenSession {
  static readonly #open = new Map<string, TokenSession>()
  readonly #key: string
  readonly #crypto: Crypto
  readonly #queue = new SerialQueue(tokenCallsMax)
  #users = 0

  private constructor(key: string, crypto: Crypto) {
    this.#key = key
    this.#crypto = crypto
  }

  static async open({ module, token, pin }: Omit<TokenOptions, 'prefix'>): Promise<TokenSession> {
    const key = `${module}\n${token}`
    const session = TokenSession.#open.get(key) ?? new TokenSession(key, await openCrypto(module, token, pin))
    TokenSession.#open.set(key, session)
    session.#users += 1
    return session
  }

  run<T>(work: (crypto: Crypto) => Promise<T>): Promise<T> {
    return this.#queue.run(async () => {
      try {
        return await work(this.#crypto)
      } catch (cause) {
        if (cause instanceof PkiError) throw cause
        throw new PkiError('KEYSTORE_FAILED', `the token: ${(cause as Error).message}`, { cause })
      }
    })
  }

  async close(): Promise<void> {
    this.#users -= 1
    if (this.#users > 0) return
    TokenSession.#open.delete(this.#key)
    await this.#queue.run(async () => this.#crypto.session.close())
  }
}

/** Slots that are looked through for a token, the most. */
const slotsMax = 64

async function openCrypto(module: string, token: string, pin: string): Promise<Crypto> {
  const { Crypto: TokenCrypto } = await import('node-webcrypto-p11').catch((cause) => {
    throw new PkiError('KEYSTORE_MISSING', 'the package node-webcrypto-p11 is not installed', { cause })
  })
  for (let slot = 0; slot < slotsMax; slot += 1) {
    const crypto = attempt(
      () => new TokenCrypto({ library: module, slot, readWrite: true }),
      'KEYSTORE_MISSING',
      module,
    )
    if (crypto.token.label.trim() !== token) {
      crypto.session.close()
      continue
    }
    attempt(() => crypto.login(pin), 'KEYSTORE_PIN', `token '${token}'`)
    return crypto
  }
  throw new PkiError('KEYSTORE_MISSING', `no token '${token}' in the first ${slotsMax} slots`)
}

function attempt<T>(work: () => T, code: 'KEYSTORE_MISSING' | 'KEYSTORE_PIN', what: string): T {
  try {
    return work()
  } catch (cause) {
    throw new PkiError(code, `${what}: ${(cause as Error).message}`, { cause })
  }
}
