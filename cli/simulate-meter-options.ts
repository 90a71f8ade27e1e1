import { createPublicKey, createSecretKey, type KeyObject } from 'node:crypto'
import { writeFileSync } from 'node:fs'
import { ConfigError } from '#gateway/errors.ts'
import { readPublic, readSecret } from '#gateway/io/keys.ts'
import { parseSystemTitle, type SystemTitle } from '#gateway/model.ts'
import type { Authentication } from '#gateway/session/association.ts'
import type { Ciphering } from '#gateway/session/association-channel.ts'
import { clientFile, type MeterKeys, meterKeys } from '#simulator/meter-keys.ts'
import { UsageError } from './command.ts'

/** The options of `ami simulate meter`, as text. */
export interface MeterOptions {
  listen: string | undefined
  seed: number
  /** 0 to 2 */
  suite: number
  authentication: string
  protection: string
  general: boolean
  clear: boolean
  passwordFile: string | undefined
  secretFile: string | undefined
  ekFile: string | undefined
  akFile: string | undefined
  clientKeyFile: string | undefined
  keysOut: string | undefined
}

/** How the management client is known. */
export interface Access {
  authentication: Authentication
  ciphering: Ciphering | undefined
}

/** `AMI`, one octet of zero, four of the seed. */
export function titleOf(seed: number): SystemTitle {
  return parseSystemTitle(`414d4900${seed.toString(16).padStart(8, '0')}`)
}

/** What `--keys-out` suggests that the client call itself; any name is taken. */
const clientTitle = parseSystemTitle('414d494845414421')
const protections = { authenticated: 'authenticated', encrypted: 'encrypted', both: 'authenticated-encrypted' } as const

/** Mechanisms whose answers can be found by who listens to a few: named on purpose, or not at all. */
export const weakMechanisms: ReadonlySet<string> = new Set(['md5', 'sha1'])

/**
 * A secret comes from its file; without one it follows from the seed, and then `--keys-out` must say where it is told.
 * @throws UsageError, ConfigError; no message holds a secret
 */
export function accessOf(options: MeterOptions): Access {
  const { seed, suite, keysOut } = options
  const derived = meterKeys(seed, titleOf(seed), suite)
  const keys = readKeys(options, derived)
  const access = { authentication: authenticationOf(options, keys), ciphering: cipheringOf(options, keys) }
  if (keysOut !== undefined) writeOwn(keysOut, clientFile(titleOf(seed), clientTitle, suite, keys))
  return access
}

function writeOwn(file: string, text: string): void {
  try {
    writeFileSync(file, text, { mode: 0o600, flag: 'wx' }) // one that is there may be open to others
  } catch (error) {
    throw new ConfigError([`--keys-out: cannot write ${file} (${(error as NodeJS.ErrnoException).code})`])
  }
}

type Keys = MeterKeys & { clientPublic: KeyObject | undefined }

function readKeys(options: MeterOptions, derived: MeterKeys): Keys {
  const { suite, passwordFile, secretFile, ekFile, akFile, clientKeyFile } = options
  const octets = suite === 2 ? 32 : 16
  const { clientSigning } = derived
  return {
    ...derived,
    ...(passwordFile !== undefined && { password: firstLine('--password-file', passwordFile) }),
    ...(secretFile !== undefined && { secret: Buffer.from(firstLine('--secret-file', secretFile)) }),
    ...(ekFile !== undefined && { ek: readKey('--ek-file', ekFile, octets) }),
    ...(akFile !== undefined && { ak: readKey('--ak-file', akFile, octets) }),
    ...(clientKeyFile !== undefined && { clientSigning: undefined }), // it is not ours to tell
    clientPublic:
      clientKeyFile === undefined ? clientSigning && createPublicKey(clientSigning) : readPem(clientKeyFile),
  }
}

/** @throws UsageError where a secret is needed that nobody was told */
function need({ keysOut }: MeterOptions, what: string, files: Record<string, string | undefined>): void {
  const missing = Object.keys(files).filter((name) => files[name] === undefined)
  if (missing.length === 0 || keysOut !== undefined) return
  throw new UsageError(`simulate meter: ${what} needs ${missing.join(' and ')}, or --keys-out for keys of the seed's`)
}

function authenticationOf(options: MeterOptions, keys: Keys): Authentication {
  const { seed, suite, authentication, passwordFile, secretFile, ekFile, akFile, clientKeyFile } = options
  const names = { own: titleOf(seed), peer: undefined }
  switch (authentication) {
    case 'lowest':
      return { mechanism: 'lowest' }
    case 'lls':
      need(options, authentication, { '--password-file': passwordFile })
      return { mechanism: 'low', password: Buffer.from(keys.password) }
    case 'md5':
    case 'sha1':
      need(options, authentication, { '--secret-file': secretFile })
      return { mechanism: `high-${authentication}`, secret: keys.secret }
    case 'gmac':
      need(options, authentication, { '--ek-file': ekFile, '--ak-file': akFile })
      return { mechanism: 'high-gmac', ...names, suite, ek: createSecretKey(keys.ek), ak: keys.ak }
    case 'sha256':
      need(options, authentication, { '--secret-file': secretFile })
      return { mechanism: 'high-sha256', ...names, secret: keys.secret }
    case 'ecdsa': {
      if (options.keysOut === undefined)
        throw new UsageError('simulate meter: ecdsa needs --keys-out, for the meter’s key')
      const { signing: privateKey, clientPublic: peerKey } = keys
      if (privateKey === undefined || peerKey === undefined || (suite !== 1 && suite !== 2)) {
        throw new UsageError('simulate meter: ecdsa needs --suite 1 or 2')
      }
      if (peerKey.asymmetricKeyDetails?.namedCurve !== privateKey.asymmetricKeyDetails?.namedCurve) {
        throw new ConfigError([`--client-key-file: ${clientKeyFile} is not on the curve of suite ${suite}`])
      }
      return { mechanism: 'high-ecdsa', ...names, suite, privateKey, peerKey }
    }
    default:
      throw new UsageError(`--authentication: lowest, lls, md5, sha1, gmac, sha256 or ecdsa, not '${authentication}'`)
  }
}

function cipheringOf(options: MeterOptions, { ek, ak }: Keys): Ciphering | undefined {
  const { seed, suite, protection, general, clear, ekFile, akFile } = options
  if (protection === 'none') return undefined
  if (!isProtection(protection)) {
    throw new UsageError(`--protection: none, authenticated, encrypted or both, not '${protection}'`)
  }
  need(options, '--protection', { '--ek-file': ekFile, '--ak-file': akFile })
  const names = { own: titleOf(seed), peer: undefined }
  return { ...names, suite, ek: createSecretKey(ek), ak, protection: protections[protection], general, clear }
}

function isProtection(text: string): text is keyof typeof protections {
  return Object.hasOwn(protections, text)
}

function firstLine(option: string, file: string): string {
  const [line] = readSecret(option, file).toString('utf8').split(/\r?\n/, 1)
  if (line === undefined || line === '') throw new ConfigError([`${option}: ${file} has nothing in its first line`])
  return line
}

/** @throws ConfigError; the message holds nothing of it */
function readKey(option: string, file: string, octets: number): Buffer {
  const hex = readSecret(option, file).toString('utf8').trim()
  if (hex.length !== octets * 2 || !/^[0-9a-fA-F]+$/.test(hex)) {
    throw new ConfigError([`${option}: ${octets} octets as ${octets * 2} hex digits`])
  }
  return Buffer.from(hex, 'hex')
}

function readPem(file: string): KeyObject {
  try {
    return createPublicKey(readPublic('--client-key-file', file))
  } catch (error) {
    if (error instanceof ConfigError) throw error
    throw new ConfigError([`--client-key-file: ${file} is no public key in PEM`])
  }
}
