import type { KeyAlgorithmName } from '../key-algorithm.ts'

/** A private key in use: it signs and does not show itself. */
export interface SigningKey {
  /** DER of the SubjectPublicKeyInfo */
  publicKey: Uint8Array
  /**
   * @returns the signature as a certificate has it: DER of Ecdsa-Sig-Value, or the octets of ML-DSA
   * @throws PkiError `KEYSTORE_BUSY`, `KEYSTORE_FAILED`
   */
  sign(octets: Uint8Array): Promise<Uint8Array>
}

/** Where the keys of CAs lie. A key is known by its name, `root` or `device` for instance. */
export interface KeyStore {
  readonly kind: 'pkcs8' | 'pkcs11' | 'memory'
  /**
   * Makes a key inside; it never leaves but encrypted.
   * @throws PkiError `KEYSTORE_EXISTS`, `KEYSTORE_ALGORITHM` when keys of this kind cannot be kept here
   */
  generate(name: string, algorithm: KeyAlgorithmName): Promise<SigningKey>
  /** @throws PkiError `KEYSTORE_KEY` when there is no such key, `STORE_PASSPHRASE`, `KEYSTORE_PIN` */
  open(name: string): Promise<SigningKey>
  has(name: string): Promise<boolean>
  /** Forgets a key for good; nothing happens where there is none. */
  remove(name: string): Promise<void>
  close(): Promise<void>
}

/** Which keystore a CA's key lies in, as the store's configuration says it. Secrets are paths. */
export type KeyPlace =
  | { kind: 'pkcs8' }
  | { kind: 'memory' }
  | {
      kind: 'pkcs11'
      /** file of the PKCS#11 library */
      module: string
      /** the token's label */
      token: string
      /** its first line is the user's PIN; only its owner may read it */
      pinFile: string
    }
