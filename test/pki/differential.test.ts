import { beforeAll, describe, expect, test } from 'vitest'
import { type Crl, parseCrl } from '#pki/crl.ts'
import { encodeIssuingDistributionPoint, issuingDistributionPointOid } from '#pki/distribution-point.ts'
import { PkiError } from '#pki/errors.ts'
import { publicationExtensions } from '#pki/extensions.ts'
import { policy } from '#pki/purpose.ts'
import { verifyChain } from '#pki/verify.ts'
import { cast, extendCrl, forgeCa, forgeCrl, forgeLeaf, forgeRoot, now } from './forge.ts'
import { type FiveParts, mutantOf } from './mutants.ts'
import { type AskedChain, hasManyJudge, manyNote, type OpensslVerdict, opensslVerdicts } from './openssl-many.ts'

const mutants = 10_000
/** Chains held at once. */
const share = 1_000
/** Another start gives other chains: `AMI_CHAINS_SEED=20001 npx vitest run test/pki/differential.test.ts`. */
const first = Number(process.env.AMI_CHAINS_SEED ?? 1)
const people = cast()
const how = { at: now, policy: policy.concentrator, purpose: 'sslclient' }
/** One that says nothing of where its standing is told, and one whose CRL is a shard. */
const bases: FiveParts[] = []
const read = new Map<Uint8Array, Crl>()
beforeAll(async () => {
  const [root, ca, leaf] = [forgeRoot(people), forgeCa(people), forgeLeaf(people)]
  const rootCrl = await forgeCrl(root, people.root.key)
  const caCrl = await forgeCrl(ca, people.ca.key, { revoked: [ca] }) // a serial that is not the leaf's
  const crl = 'http://crl.test/0.crl'
  const told = publicationExtensions({ crl, ocsp: 'http://ocsp.test' })
  const sharded = forgeLeaf(people, { extensions: (usual) => [...usual, ...told] })
  const value = encodeIssuingDistributionPoint({ uris: [crl], onlyUser: true })
  const shard = extendCrl(caCrl, people.ca.key, { oid: issuingDistributionPointOid, critical: true, value })
  bases.push({ root, ca, leaf, rootCrl, caCrl }, { root, ca, leaf: sharded, rootCrl, caCrl: shard })
  for (const each of [rootCrl, caCrl, shard]) read.set(each, parseCrl(each)) // its signature is checked once
})

function asked({ leaf, ca, root, caCrl, rootCrl }: FiveParts): AskedChain {
  return { leaf, intermediates: [ca], roots: [root], crls: [rootCrl, caCrl] }
}

/** @returns `ok`, or why not */
function ourVerdict({ crls, ...certificates }: AskedChain): string {
  try {
    const lists = crls.map((crl) => read.get(crl) ?? parseCrl(crl))
    const verdict = verifyChain({ ...certificates, crls: lists, at: now, purpose: 'concentrator' })
    return verdict.ok ? 'ok' : verdict.code
  } catch (cause) {
    if (cause instanceof PkiError) return cause.code
    throw cause
  }
}

interface Compared {
  seed: number
  ours: string
  theirs: OpensslVerdict
}

function compared(seeds: readonly number[]): Compared[] {
  const chains = seeds.map((seed) => asked(mutantOf(bases[seed % bases.length]!, people, seed)))
  const theirs = opensslVerdicts(chains, how)
  return chains.map((chain, index) => ({ seed: seeds[index]!, ours: ourVerdict(chain), theirs: theirs[index]! }))
}

/** How often we refuse what OpenSSL accepts, by our code: where this PKI is the stricter of the two. */
function report(accepted: number, all: readonly Compared[]): string {
  const codes = all.filter(({ ours, theirs }) => ours !== 'ok' && theirs.ok).map(({ ours }) => ours)
  const counted = [...new Set(codes)].map((code) => [code, codes.filter((one) => one === code).length] as const)
  const lines = counted.toSorted(([, a], [, b]) => b - a).map(([code, count]) => `  ${code.padEnd(24)} ${count}`)
  const head = `of ${all.length} chains ${accepted} are accepted by both, ${codes.length} refused here and accepted by OpenSSL:`
  return `${[head, ...lines].join('\n')}\n`
}

describe.runIf(hasManyJudge)(`beside OpenSSL${manyNote}`, () => {
  test('the chains that all are made from are accepted by both', () => {
    expect(bases.map((good) => ourVerdict(asked(good)))).toEqual(['ok', 'ok'])
    expect(opensslVerdicts(bases.map(asked), how).map(({ words }) => words)).toEqual(['ok', 'ok'])
  })

  test(`of ${mutants} mutated and rightly signed chains none is accepted here that it refuses`, () => {
    const all: Compared[] = []
    for (let begun = 0; begun < mutants; begun += share) {
      all.push(...compared(Array.from({ length: share }, (_, index) => (first + begun + index) * 7_919)))
    }
    const accepted = all.filter(({ ours }) => ours === 'ok')
    expect(accepted.length).toBeGreaterThan(mutants / 50)
    process.stdout.write(report(accepted.length, all))
    const forbidden = accepted.filter(({ theirs }) => !theirs.ok)
    expect(forbidden.map(({ seed, theirs }) => `seed ${seed}: ${theirs.words}`)).toEqual([])
  }, 240_000)
})
