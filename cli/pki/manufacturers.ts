import { ManufacturerStore } from '#pki/manufacturers/store.ts'
import { tellAudit } from '#pki/store/audited.ts'
import { type Answer, isoTime, needed, readInput, type Subcommand, type Values } from './subcommand.ts'

export const manufacturers: Subcommand = { takes: ['dir', 'remove'], positionals: [0, 1], run }

/** Imports a file's CAs, removes one, or lists them. */
async function run(values: Values, file: string): Promise<Answer> {
  const dir = needed(values, 'dir')
  const store = new ManufacturerStore(dir)
  const tell = (kind: 'imported' | 'removed', digest: string): Promise<void> =>
    tellAudit(dir, { kind, actor: 'cli', subject: 'manufacturer-ca', digest })
  if (values.remove !== undefined) {
    await store.remove(values.remove)
    await tell('removed', values.remove.toLowerCase())
  }
  if (file !== '') {
    const added = await store.add((await readInput(file)).toString('latin1'), Date.now() / 1_000)
    for (const { fingerprint } of added) await tell('imported', fingerprint)
  }
  const found = await store.list()
  const lines = found.map(({ fingerprint, name, notAfter }) => `${fingerprint}  ${isoTime(notAfter)}  ${name}\n`)
  const json = found.map(({ fingerprint, name, notAfter }) => ({ fingerprint, name, notAfter }))
  return { ok: true, json: { manufacturers: json, trustFile: store.trustFile }, text: lines.join('') }
}
