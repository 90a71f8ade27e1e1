/**
 * The spooler of `ami mdm`, alone, on loopback: whether it keeps up with a paced sender, and what it costs.
 *
 *   npm run bench:spool -- [--seconds S] [--rates MB,MB] [--octets N]
 */
import { spawn } from 'node:child_process'
import { createSocket } from 'node:dgram'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as moment } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { Child } from '#cli/demo/child.ts'
import { type SpoolerStatus, spoolerStatusFile } from '#mdm/spool.ts'
import { readStatus } from '#mdm/status-file.ts'
import { cpuSeconds } from './child.ts'
import { grouped, table } from './figures.ts'

const { values } = parseArgs({
  options: {
    seconds: { type: 'string', default: '10' },
    rates: { type: 'string', default: '50,100' },
    octets: { type: 'string', default: '1400' },
    send: { type: 'string' },
  },
})
const [seconds, octets] = [Number(values.seconds), Number(values.octets)]

/** Paced in steps of about a millisecond. @returns datagrams sent */
async function send(port: number, bytesPerSecond: number): Promise<number> {
  const socket = createSocket('udp4')
  const datagram = Buffer.alloc(octets, 0x5a)
  const began = performance.now()
  let sent = 0
  for (let elapsed = 0; elapsed < seconds; elapsed = (performance.now() - began) / 1000) {
    const due = Math.floor((elapsed * bytesPerSecond) / octets)
    const last = Math.min(due, sent + 500) // a sender that was held up must not make good in one burst
    for (; sent < last; sent++) socket.send(datagram, port, '127.0.0.1')
    await moment(1)
  }
  await new Promise<void>((closed) => socket.close(closed))
  return sent
}

/** The sender in a process of its own. */
async function sender(port: number, rate: number): Promise<number> {
  const args = [
    fileURLToPath(import.meta.url),
    '--send',
    `${port}:${rate}`,
    '--seconds',
    `${seconds}`,
    '--octets',
    `${octets}`,
  ]
  const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] })
  let text = ''
  child.stdout.on('data', (chunk: Buffer) => (text += chunk.toString()))
  await new Promise((ended) => child.once('close', ended))
  return Number(text)
}

function configure(folder: string): string {
  const [config, zonesFile] = [
    join(folder, 'mdm.json'),
    fileURLToPath(new URL('../dmz-config/zones.json', import.meta.url)),
  ]
  const unused = { trustFile: 'root.pem', linkKeys: [{ id: 0, file: 'link.key' }] } // the assembler's
  const spool = { octets: 17_179_869_184 }
  writeFileSync(config, JSON.stringify({ zonesFile, loopback: { oneway: 0 }, data: 'data', spool, ...unused }))
  return config
}

async function measure(rate: number): Promise<string[]> {
  const folder = mkdtempSync(join(tmpdir(), 'ami-bench-'))
  const child = new Child('spool', ['mdm', 'spool', '--config', configure(folder)], join(folder, 'spool.log'))
  try {
    const { port } = await child.until('mdm.listening')
    const before = cpuSeconds(child.pid)
    const sent = await sender(Number(port), rate * 1e6)
    await moment(2_000) // the last status
    const used = cpuSeconds(child.pid) - before
    const status = readStatus(spoolerStatusFile(join(folder, 'data', 'spool'))) as SpoolerStatus
    const { datagrams, kernel, ring } = status
    const share = ((sent - datagrams) / sent) * 100
    const megabytes = (datagrams * octets) / 1e6
    return [
      `${rate}`,
      ((sent * octets) / 1e6 / seconds).toFixed(0),
      grouped(sent),
      grouped(sent - datagrams),
      `${share.toFixed(3)} %`,
      grouped(kernel.socket),
      grouped(ring.dropped.full + ring.dropped.failed),
      (used / seconds).toFixed(2),
      (megabytes / used).toFixed(0),
    ]
  } finally {
    await child.stop()
    rmSync(folder, { recursive: true, force: true })
  }
}

if (values.send === undefined) {
  const rows: string[][] = []
  for (const rate of values.rates.split(',').map(Number)) rows.push(await measure(rate))
  const heads = [
    'MB/s asked',
    'MB/s sent',
    'datagrams',
    'lost',
    'share',
    'by the kernel',
    'by the ring',
    'cores',
    'MB per core second',
  ]
  process.stdout.write(table([heads, ...rows]))
} else {
  const [port, rate] = values.send.split(':').map(Number)
  process.stdout.write(`${await send(port!, rate!)}`)
}
