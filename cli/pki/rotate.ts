import { issuingNames } from '#pki/profiles.ts'
import { UsageError } from '../command.ts'
import { type Answer, opened, type Subcommand, store, type Values } from './subcommand.ts'

export const rotate: Subcommand = { takes: [...store, 'ca'], positionals: [0, 0], run }

/** A new key and certificate for one CA, under the root. */
async function run(values: Values): Promise<Answer> {
  const name = issuingNames.find((one) => one === values.ca)
  if (name === undefined) throw new UsageError(`--ca: ${issuingNames.join(', ')}, not '${values.ca ?? ''}'`)
  return opened(values, async (pki) => {
    const generation = await pki.rotate(name)
    const { serial } = (await pki.list()).findLast(({ id }) => id === generation)!
    const trustFile = pki.trustFile(name)
    const text = `${generation}: issues from now on; give listeners ${trustFile} and ${pki.crlFile}\n`
    return { ok: true, json: { ca: name, key: generation, serial, trustFile, crlFile: pki.crlFile }, text }
  })
}
