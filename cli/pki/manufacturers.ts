import { ManufacturerStore } from '#pki/manufacturers/store.ts'
import { type Answer, isoTime, needed, readInput, type Subcommand, type Values } from './subcommand.ts'

export const manufacturers: Subcommand = { takes: ['dir', 'remove'], positionals: [0, 1], run }

/** Imports a file's CAs, removes one, or lists them. */
async function run(values: Values, file: string): Promise<Answer> {
  const store = new ManufacturerStore(needed(values, 'dir'))
  if (values.remove !== undefined) await store.remove(values.remove)
  if (file !== '') await store.add((await readInput(file)).toString('latin1'), Date.now() / 1_000)
  const found = await store.list()
  const lines = found.map(({ fingerprint, name, notAfter }) => `${fingerprint}  ${isoTime(notAfter)}  ${name}\n`)
  const json = found.map(({ fingerprint, name, notAfter }) => ({ fingerprint, name, notAfter }))
  return { ok: true, json: { manufacturers: json, trustFile: store.trustFile }, text: lines.join('') }
}
