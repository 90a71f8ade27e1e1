import { openPki } from '#pki/store.ts'
import { dieAt } from '#test/support/dies-at.ts'

/** A process of its own: issues, revokes and writes the CRL and the shard, says so after each, and is killed at one of its steps. */
const [dir, passphraseFile, step] = process.argv.slice(2)
const steps = await dieAt(Number(step))
const pki = await openPki({ dir: dir!, passphraseFile: passphraseFile!, actor: 'child' })
const say = (line: string): boolean => process.stdout.write(`${line}\n`)
const both = await pki.issueMany(['first', 'second'].map((id) => ({ profile: 'concentrator', id })))
for (const { serial } of both) say(`issued ${serial}`)
await pki.revoke(both[0]!.serial, 'keyCompromise')
say(`revoked ${both[0]!.serial}`)
await pki.close()
say(`done ${steps()}`)
