import { ConfigError } from '#gateway/errors.ts'
import { isProfileSetName, profileSets } from '#pki/key-algorithm.ts'
import { lint as lintCertificate } from '#pki/lint.ts'
import { authorityProfiles, profiles } from '#pki/profiles.ts'
import { parseCertificate } from '#pki/verify.ts'
import { UsageError } from '../command.ts'
import { type Answer, needed, readCertificates, type Subcommand, type Values } from './subcommand.ts'

export const lint: Subcommand = { takes: ['profile', 'issuer', 'profile-set'], positionals: [1, 1], run }

async function run(values: Values, file: string): Promise<Answer> {
  const name = needed(values, 'profile')
  const all = { ...profiles, ...authorityProfiles }
  const profile = Object.hasOwn(all, name) ? all[name as keyof typeof all] : undefined
  if (profile === undefined) throw new UsageError(`--profile: ${Object.keys(all).join(', ')}, not '${name}'`)
  const set = values['profile-set'] ?? 'p256'
  if (!isProfileSetName(set))
    throw new UsageError(`--profile-set: ${Object.keys(profileSets).join(', ')}, not '${set}'`)
  const found = await readCertificates(file)
  if (values.issuer !== undefined) found.splice(1, found.length, ...(await readCertificates(values.issuer)))
  const [certificate, issuer = name === 'root' ? certificate : undefined] = found.map(parseCertificate)
  if (certificate === undefined) throw new ConfigError([`${file}: no certificate`])
  if (issuer === undefined) throw new UsageError('pki lint: the issuer stands behind the certificate, or in --issuer')
  const broken = lintCertificate({ certificate, profile, issuer, profileSet: profileSets[set] }).map(
    ({ name, source }) => ({ name, source }),
  )
  const text = broken.map(({ name, source }) => `${name}: ${source}\n`).join('')
  return { ok: broken.length === 0, json: { broken }, text: text === '' ? 'every rule holds\n' : text }
}
