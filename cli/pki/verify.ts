import { ConfigError } from '#gateway/errors.ts'
import { isProfileSetName, profileSets } from '#pki/key-algorithm.ts'
import { isProfileName, profiles } from '#pki/profiles.ts'
import { parseCrls, verifyChain } from '#pki/verify.ts'
import { UsageError, wholeNumber } from '../command.ts'
import { type Answer, needed, readCertificates, readInput, type Subcommand, type Values } from './subcommand.ts'

export const verify: Subcommand = {
  takes: ['trust', 'crl', 'purpose', 'at', 'profile-set'],
  positionals: [1, 1],
  run,
}

async function run(values: Values, file: string): Promise<Answer> {
  const purpose = needed(values, 'purpose')
  if (!isProfileName(purpose)) throw new UsageError(`--purpose: ${Object.keys(profiles).join(', ')}, not '${purpose}'`)
  const set = values['profile-set'] ?? 'p256'
  if (!isProfileSetName(set))
    throw new UsageError(`--profile-set: ${Object.keys(profileSets).join(', ')}, not '${set}'`)
  const at = values.at === undefined ? Date.now() / 1_000 : wholeNumber('at', values.at, [0, 253_402_300_799])
  const [leaf, ...intermediates] = await readCertificates(file)
  if (leaf === undefined) throw new ConfigError([`${file}: no certificate`])
  const verdict = verifyChain({
    leaf,
    intermediates,
    roots: await readCertificates(needed(values, 'trust')),
    crls: values.crl === undefined ? [] : parseCrls((await readInput(values.crl)).toString('latin1')),
    at,
    purpose,
    profileSet: set,
  })
  if (verdict.ok)
    return { ok: true, json: { ok: true, uri: verdict.uri }, text: `accepted: ${verdict.uri ?? purpose}\n` }
  const { code, detail } = verdict
  return { ok: false, json: { ok: false, fault: { code, detail } }, text: `refused: ${code}: ${detail}\n` }
}
