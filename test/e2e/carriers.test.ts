import { once } from 'node:events'
import { mkdirSync, readdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs'
import { type AddressInfo, connect, createServer, type Server } from 'node:net'
import { join } from 'node:path'
import { expect, onTestFinished, test, vi } from 'vitest'
import { openPki } from '#pki/store.ts'
import { HeadEnd, nothingLost } from '#test/support/head-end.ts'
import { tempFolder } from '#test/support/temp.ts'

async function listening(server: Server): Promise<number> {
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  onTestFinished(() => void server.close())
  return (server.address() as AddressInfo).port
}

async function freePort(): Promise<number> {
  const server = createServer()
  const port = await listening(server)
  server.close()
  await once(server, 'close')
  return port
}

/** A diode's proxy: what a connection brings goes on, on a connection of its own, and nothing comes back. @param loses which batches */
async function diode(to: number, loses: (sequence: number) => boolean): Promise<{ port: number; lost: Set<number> }> {
  const lost = new Set<number>()
  const server = createServer({ allowHalfOpen: true }, async (socket) => {
    const parts: Buffer[] = []
    socket.on('error', () => undefined)
    socket.on('data', (part) => parts.push(part))
    await once(socket, 'end')
    socket.end()
    const frame = Buffer.concat(parts)
    const sequence = Number(frame.readBigUInt64BE(12))
    if (loses(sequence)) lost.add(sequence)
    else connect({ host: '127.0.0.1', port: to }).end(frame)
  })
  return { port: await listening(server), lost }
}

/** Moves what lies in one folder into another, in no order, under a temporary name first. @param loses which batches */
function mover(from: string, to: string, loses: (sequence: number) => boolean): { lost: Set<number> } {
  const lost = new Set<number>()
  const timer = setInterval(() => {
    for (const name of readdirSync(from).filter((one) => one.startsWith('ami-'))) {
      const sequence = Number(name.split('-')[2])
      const beside = join(to, `.moving-${name}`)
      renameSync(join(from, name), beside)
      if (!loses(sequence)) renameSync(beside, join(to, name))
      else lost.add(sequence)
    }
  }, 20)
  onTestFinished(() => clearInterval(timer))
  return { lost }
}

/** Certificate and key of the MDM, in files. */
async function mdmOf(folder: string): Promise<{ certificateFile: string; keyFile: string }> {
  const pki = await openPki({ dir: join(folder, 'pki'), passphraseFile: join(folder, 'passphrase') })
  const { chainPem, privateKeyPem } = await pki.issue({ profile: 'mdm', id: 'mdm-1' })
  await pki.close()
  const files = { certificateFile: join(folder, 'mdm.pem'), keyFile: join(folder, 'mdm.key.pem') }
  writeFileSync(files.certificateFile, chainPem)
  writeFileSync(files.keyFile, privateKeyPem!, { mode: 0o600 })
  return files
}

function change(file: string, changes: object): void {
  const config = JSON.parse(readFileSync(file, 'utf8')) as object
  writeFileSync(file, JSON.stringify({ ...config, ...changes }))
}

test('where every datagram is lost, files and TCP bring every reading once in envelopes, though each loses a part', async () => {
  const folder = tempFolder()
  const headEnd = await HeadEnd.layOut(folder, {
    concentrators: 2,
    meters: 20,
    intervalSeconds: 0.2,
    passesAfterMs: [0],
  })
  const [out, into, mdmPort] = [join(folder, 'out'), join(folder, 'in'), await freePort()]
  mkdirSync(out)
  mkdirSync(into)
  const mdm = await mdmOf(folder)
  const files = mover(out, into, (sequence) => sequence % 4 === 1)
  const proxy = await diode(mdmPort, (sequence) => sequence % 4 === 3)
  change(headEnd.layout.gatewayConfig, {
    forward: {
      passesAfterMs: [0],
      envelope: { certificate: mdm.certificateFile },
      carriers: [
        { kind: 'files', folder: out },
        { kind: 'tcp', host: '127.0.0.1', port: proxy.port },
      ],
    },
  })
  change(headEnd.layout.mdmConfig, {
    loopback: { oneway: 0 },
    envelopeKeys: [mdm],
    intakes: [
      { kind: 'files', folder: into, pollMs: 20, stableMs: 40 },
      { kind: 'tcp', host: '127.0.0.1', port: mdmPort },
    ],
  })
  for (const part of ['gateway', 'mdm', 'simulator'] as const) await headEnd.start(part)
  await vi.waitFor(() => expect(Math.min(files.lost.size, proxy.lost.size)).toBeGreaterThanOrEqual(2), {
    timeout: 30_000,
    interval: 50,
  })
  expect(await headEnd.drain()).toMatchObject(nothingLost)
  const [taken] = readdirSync(into).filter((name) => name.startsWith('.moving-ami-')) // one that never arrived
  expect(readFileSync(join(into, taken!))[72]).toBe(0x30) // an envelope, behind the header of its frame
  const { datagrams, intakes } = headEnd.part('mdm').last('mdm.status')!
  expect(datagrams).toBe(0)
  for (const { stored } of intakes as { stored: number }[]) expect(stored).toBeGreaterThanOrEqual(2)
}, 90_000)
