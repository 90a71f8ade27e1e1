import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { constraintsOf, privateZones } from '#pki/extensions.ts'
import { newSerial, publicKeyOctets } from '#pki/issue.ts'
import { keyAlgorithms } from '#pki/key-algorithm.ts'
import { encodeName } from '#pki/names.ts'
import { prepare } from '#pki/prepare.ts'
import { authorityProfiles, type Profile, profiles } from '#pki/profiles.ts'
import { templateWriter } from '#pki/template.ts'
import { type Issuer, keyIdOf, type Template } from '#pki/unsigned.ts'

const every: Readonly<Record<string, Profile>> = { ...profiles, ...authorityProfiles }
const keys = Object.values(keyAlgorithms).map((algorithm) => publicKeyOctets(algorithm.make().publicKey))
const issuers: Issuer[] = Object.values(keyAlgorithms).map((algorithm, at) => ({
  name: encodeName({ organisation: 'AMI', common: `CA ${at}` }),
  keyId: keyIdOf(keys[at]!),
  algorithm,
}))

/** From an hour of 1990 to one of 2090: the form of times changes in between. */
const moments = fc.integer({ min: 631_152_000, max: 3_786_912_000 })
const templates = fc.record({
  profile: fc.constantFrom(...Object.keys(every)),
  id: fc.stringMatching(/^[A-Za-z0-9_-]{1,64}$/),
  common: fc.stringMatching(/^[A-Za-zäß中 ]{1,60}$/),
  dns: fc.array(fc.stringMatching(/^[a-z]{1,20}(\.[a-z]{1,20}){0,3}$/), { minLength: 1, maxLength: 12 }),
  ip: fc.array(fc.oneof(fc.ipV4(), fc.ipV6()), { maxLength: 4 }),
  key: fc.constantFrom(...keys),
  issuer: fc.constantFrom(...issuers),
  at: moments,
  crl: fc.option(fc.constant('http://crl.test/device/7.crl'), { nil: undefined }),
  ocsp: fc.option(fc.constant('http://ocsp.test'), { nil: undefined }),
})

describe('the template writer', () => {
  test('writes what pkijs writes, octet for octet, for every profile, key, issuer and time', () => {
    const write = templateWriter()
    fc.assert(
      fc.property(templates, ({ profile, id, common, dns, ip, key, issuer, at, crl, ocsp }) => {
        const { scope } = (authorityProfiles as Readonly<Record<string, { scope?: unknown }>>)[profile] ?? {}
        const template: Template = {
          profile: every[profile]!,
          subject: encodeName({ organisation: common, common: id }),
          id,
          hosts: { dns, ip },
          publicKey: key,
          at,
          ...(scope === undefined
            ? {}
            : { constraints: constraintsOf(authorityProfiles.infrastructure.scope!, common, privateZones) }),
          publication: { ...(crl === undefined ? {} : { crl }), ...(ocsp === undefined ? {} : { ocsp }) },
        }
        const serial = newSerial()
        const [ours, theirs] = [write(template, issuer, serial), prepare(template, issuer, serial)]
        expect(Buffer.from(ours.tbs).toString('hex')).toBe(Buffer.from(theirs.tbs).toString('hex'))
        expect(ours.signature).toBe(theirs.signature)
      }),
      { numRuns: 400 },
    )
  })
})
