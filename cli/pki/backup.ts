import { backUp } from '#pki/backup/make.ts'
import { restore as restoreStore } from '#pki/backup/restore.ts'
import {
  type Answer,
  isoTime,
  needed,
  opened,
  place,
  readInput,
  type Subcommand,
  store,
  type Values,
} from './subcommand.ts'

export const backup: Subcommand = {
  takes: [...store, 'backup-passphrase-file', 'out'],
  positionals: [0, 0],
  run: runBackup,
}
export const restore: Subcommand = {
  takes: [...store, 'backup-passphrase-file', 'from', 'seen', 'accept-older'],
  positionals: [0, 0],
  run: runRestore,
}

/** The backup's own passphrase, or the store's. */
function passphraseOf(values: Values): string {
  return values['backup-passphrase-file'] ?? needed(values, 'passphrase-file')
}

function now(): number {
  return Date.now() / 1_000
}

async function runBackup(values: Values): Promise<Answer> {
  const [dir, out, passphraseFile] = [needed(values, 'dir'), needed(values, 'out'), passphraseOf(values)]
  return opened(values, async (pki) => {
    const { digest, octets } = await backUp(pki, { dir, out, passphraseFile, now })
    return { ok: true, json: { out, digest, octets }, text: `${out}: ${octets} octets, SHA-256 ${digest}\n` }
  })
}

async function runRestore(values: Values): Promise<Answer> {
  const [from, dir] = [needed(values, 'from'), needed(values, 'dir')]
  const seen = (await Promise.all((values.seen ?? []).map(readInput))).map((note) => note.toString('utf8'))
  const {
    store: id,
    madeAt,
    audit,
  } = await restoreStore({
    ...place(values),
    from,
    backupPassphraseFile: passphraseOf(values),
    seen: seen.map((note) => (note.endsWith('\n\n') ? note : `${note}\n`)).join(''),
    acceptOlder: values['accept-older'],
    now,
  })
  const text = `${dir}: the store ${id} as it was at ${isoTime(madeAt)}, ${audit} entries in its audit log\n`
  return { ok: true, json: { dir, store: id, madeAt, audit }, text }
}
