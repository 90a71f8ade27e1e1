import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { PkiError } from '../errors.ts'
import { toPem } from '../pem.ts'
import { type Generation, generationOf, generationParts, type IssuingName, isGeneration } from '../profiles.ts'
import type { Authorities } from './authorities.ts'
import { bundleCrls, certificateFile, placeCrl, signNextCrl, trustFileOf } from './authority.ts'
import { entryOf } from './certify.ts'
import type { StoreConfig } from './config.ts'
import { makePrivate, writeDurably } from './files.ts'
import { certifyGeneration } from './hierarchy.ts'
import type { Entry, Issued } from './journal.ts'
import type { Register } from './register.ts'

/** Keys of one CA that are trusted at a time, the most: a rotation a year has five. */
export const liveKeysMax = 6

export interface Rotating {
  dir: string
  config: StoreConfig
  authorities: Authorities
  /** seconds since 1970 */
  now: () => number
}

/**
 * Makes the next key of a CA and certifies it by the root, bound as the one before it. It counts when it is journaled, which is
 * the caller's to do, and to be alone at.
 * @throws PkiError `ROOT_OFFLINE`, `ROTATION_LIMIT`, `LINT`, and what a keystore throws
 */
export async function certifyNext({ config, authorities, now }: Rotating, name: IssuingName): Promise<Issued> {
  const at = now()
  const root = await authorities.open('root')
  const live = authorities.live(at).filter((one) => generationParts(one).name === name)
  if (live.length >= liveKeysMax)
    throw new PkiError('ROTATION_LIMIT', `${name} has ${live.length} keys that are trusted`)
  const last = authorities.current(name)
  const next = generationOf(name, generationParts(last).number + 1)
  const { nameConstraints: constraints } = authorities.certificate(last)
  const key = await authorities.makeKey(next)
  const made = await certifyGeneration(next, key, {
    config,
    at,
    root,
    ...(constraints === undefined ? {} : { constraints }),
  })
  return entryOf(made.certificate, made.certificate.der, { at, profile: name, id: next, issuer: 'root' })
}

function laterGeneration({ id, profile, issuer }: Issued): Generation | undefined {
  if (issuer !== 'root' || !isGeneration(id)) return undefined
  const { name, number } = generationParts(id)
  return name === profile && number > 1 ? id : undefined
}

/**
 * Takes in the keys that the journal tells of, by whomever they were made, and writes what is not there of their files: CRL,
 * trust, and at the end the certificate, which says that the others are there. Doing it twice does no harm.
 */
export async function settleRotations(
  rotating: Rotating & { register: Register },
  entries: readonly Entry[],
): Promise<void> {
  for (const entry of entries) {
    const generation = entry.event === 'issued' ? laterGeneration(entry) : undefined
    if (entry.event !== 'issued' || generation === undefined) continue
    const der = Buffer.from(entry.certificate, 'base64')
    rotating.authorities.learn(generation, der)
    if (!existsSync(join(rotating.dir, certificateFile(generation)))) await settle(rotating, generation)
  }
}

async function settle(
  { dir, authorities, register, now }: Rotating & { register: Register },
  generation: Generation,
): Promise<void> {
  const at = now()
  const live = authorities.live(at)
  const authority = await authorities.open(generation)
  const revoked = register.revokedBy(generation)
  await placeCrl(dir, generation, await signNextCrl(dir, generation, { authority, at, revoked }))
  const { name } = generationParts(generation)
  const own = live.filter((one) => generationParts(one).name === name).toReversed()
  const pem = (one: Generation): string => toPem('CERTIFICATE', authorities.certificate(one).der)
  await writeDurably(join(dir, trustFileOf(name)), [...own, 'root' as const].map(pem).join(''))
  await bundleCrls(dir, live)
  await makePrivate(join(dir, generation))
  await writeDurably(join(dir, certificateFile(generation)), pem(generation))
}
