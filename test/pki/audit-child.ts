import { createPrivateKey, createPublicKey, sign } from 'node:crypto'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { AuditLog } from '#pki/audit/store.ts'
import { publicKeyOctets } from '#pki/issue.ts'

/** A process of its own: appends one entry after the other, and says so only when each is on disk. */
const [dir, keyFile, name, count] = process.argv.slice(2)
const key = createPrivateKey(readFileSync(keyFile!))
const log = await AuditLog.open({
  dir: dir!,
  origin: 'test.example/audit',
  signer: { publicKey: publicKeyOctets(createPublicKey(key)), sign: async (octets) => sign('sha256', octets, key) },
  now: () => Date.now() / 1_000,
  onFault: (cause) => {
    throw cause
  },
  everyEntries: 7,
})
process.stdout.write('open\n')
await once(process.stdin, 'data') // all that are to append at the same time have opened it by then
process.stdin.destroy()
for (let at = 0; at < Number(count); at += 1) {
  const subject = `${name}-${at}`
  const index = await log.append([{ kind: 'issued', actor: name!, subject }])
  process.stdout.write(`${index} ${subject}\n`)
}
await log.close()
