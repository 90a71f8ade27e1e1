import { beforeAll, describe, expect, test } from 'vitest'
import { parseCrl } from '#pki/crl.ts'
import { verifyChain } from '#pki/verify.ts'
import { cast, day, forgeCa, forgeCrl, forgeLeaf, forgeRoot, now, party } from './forge.ts'

const people = cast()
const root = forgeRoot(people)
const ca = forgeCa(people)
const leaf = forgeLeaf(people)
let crls: ReturnType<typeof parseCrl>[]
beforeAll(async () => {
  crls = [await forgeCrl(root, people.root.key), await forgeCrl(ca, people.ca.key)].map(parseCrl)
})

function judge(change: Partial<Parameters<typeof verifyChain>[0]> = {}): ReturnType<typeof verifyChain> {
  const certificates = { leaf, intermediates: [ca], roots: [root] }
  return verifyChain({ ...certificates, crls, at: now, purpose: 'concentrator', ...change })
}

// what it refuses stands in negative.test.ts
describe('verifyChain', () => {
  test('accepts a good chain, and says who it is', () => {
    const verdict = judge()
    expect(verdict.ok && verdict.uri).toBe('urn:ami:concentrator:c1')
    expect(verdict.ok && verdict.chain.map(({ der }) => der)).toEqual([leaf, ca, root])
  })

  test('finds the way past a foreign CA of the same name', () => {
    const decoy = forgeCa({ ...people, ca: party('Forged CA') })
    expect(judge({ intermediates: [decoy, ca] }).ok).toBe(true)
  })

  test('holds from the first second of the validity, and not in the last, as OpenSSL has it', () => {
    const at = (seconds: number): string => {
      const verdict = judge({ at: seconds })
      return verdict.ok ? 'ok' : verdict.code
    }
    expect([now - day, now + day - 1].map(at)).toEqual(['ok', 'ok'])
    expect([now - day - 1, now + day, Number.NaN].map(at)).toEqual(['NOT_YET_VALID', 'EXPIRED', 'NOT_YET_VALID'])
  })
})
