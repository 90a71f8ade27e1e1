/**
 * Writes the certificates, CRL and signature that the PKI targets begin from: `node test/fuzz/pki/make.ts`. Kept as
 * files, for a kept input may hold only under the very root it was made from. Their keys are forgotten at once.
 */
import { sign } from 'node:crypto'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { newSerial } from '#pki/issue.ts'
import { authorityProfiles, profiles } from '#pki/profiles.ts'
import { encodeDetached } from '#pki/verify.ts'
import { cast, forge, forgeCa, forgeCrl, forgeRoot, now } from '#test/pki/forge.ts'
import { signedContent } from '../pki-samples.ts'

const people = cast('Signing')
const [root, ca] = [forgeRoot(people), forgeCa(people, { profile: authorityProfiles.signing })]
const leaf = forge({ profile: profiles.sealer, subject: people.leaf, issuer: people.ca, serial: newSerial() })
const crls = [await forgeCrl(root, people.root.key), await forgeCrl(ca, people.ca.key)]
const revoking = await forgeCrl(ca, people.ca.key, { revoked: [leaf, ca] })
const cms = await encodeDetached({
  content: signedContent,
  at: now,
  certificates: [leaf, ca],
  crls,
  sign: (octets) => sign('sha256', octets, people.leaf.key),
})
for (const [name, der] of Object.entries({ root, ca, leaf, crl: revoking, cms })) {
  writeFileSync(join(import.meta.dirname, `${name}.der`), der)
}
