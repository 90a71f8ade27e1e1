import { spawn, spawnSync } from 'node:child_process'
import { closeSync, openSync, readFileSync, rmSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import type { Diode } from '#test/support/diode.ts'
import { linkPort, mdmAddress } from '#test/support/diode.ts'
import { newObject } from './oneway-object.ts'

/**
 * Debian's udpcast over the same diode: one file, asynchronous (nobody answers), groups of 64 blocks with 16 of repair (25 %),
 * eight groups interleaved, a fixed rate.
 */
export interface UdpcastRun {
  /** of the file */
  octets: number
  blockOctets: number
  bitsPerSecond: number
}

export interface UdpcastResult {
  /** the file came, and is the one that was sent */
  whole: boolean
  /** processor time of each end */
  sending: number
  receiving: number
  /** by the receiving socket, whose buffer was full */
  kernelDrops: number
}

const fec = '8x16/64'
/** Both ends are given the least for their greetings, and the receiver this long for a block. */
const receiveTimeoutSeconds = 5
const runMsMax = 600_000
const bufferOctets = 4_194_304

export function hasUdpcast(): boolean {
  return spawnSync('udp-sender', ['--license']).error === undefined
}

/** @param folder for the files, which are gone at the end */
export async function runUdpcast(diode: Diode, folder: string, run: UdpcastRun): Promise<UdpcastResult> {
  const [source, target] = [join(folder, 'udpcast.in'), join(folder, 'udpcast.out')]
  writeSource(source, run.octets)
  const common = `--nokbd --no-progress --portbase ${linkPort} --mcast-rdv-address ${mdmAddress}`
  const receiver = timed(
    diode.within('it'),
    `udp-receiver --nosync ${common} --interface in --file ${target} --start-timeout 20 --receive-timeout ${receiveTimeoutSeconds} --rcvbuf ${bufferOctets}`,
  )
  await receiver.said('UDP receiver')
  const dropped = diode.udp('it').RcvbufErrors
  const sender = timed(
    diode.within('dmz'),
    `udp-sender --async --fec ${fec} ${common} --interface out --file ${source} --mcast-data-address ${mdmAddress} --max-bitrate ${Math.round(run.bitsPerSecond / 1000)}k --blocksize ${run.blockOctets} --autostart 1`,
  )
  const sending = await sender.seconds
  const receiving = await receiver.seconds
  const whole = isSame(source, target)
  for (const file of [source, target]) rmSync(file, { force: true })
  return { whole, sending, receiving, kernelDrops: diode.udp('it').RcvbufErrors - dropped }
}

/** In a shell of its own, which tells at the end how much processor time the program took; ended when it takes too long. */
function timed(
  launcher: readonly [string, ...string[]],
  line: string,
): { said(text: string): Promise<void>; seconds: Promise<number> } {
  const [program, ...args] = launcher
  const child = spawn(program, [...args, 'bash', '-c', `${line}; times`], {
    stdio: ['ignore', 'pipe', 'pipe'],
    detached: true,
  })
  const end = (): void => void process.kill(-child.pid!, 'SIGKILL')
  const late = setTimeout(end, runMsMax)
  process.once('exit', end)
  let [out, all] = ['', '']
  const hear = (chunk: Buffer): void => {
    all += chunk
    child.emit('said')
  }
  child.stdout.on('data', (chunk: Buffer) => {
    out += chunk
    hear(chunk)
  })
  child.stderr.on('data', hear)
  const seconds = new Promise<number>((resolve) => {
    child.once('close', () => {
      clearTimeout(late)
      process.off('exit', end)
      resolve(childSeconds(out))
    })
  })
  const said = (text: string): Promise<void> =>
    new Promise((resolve) => {
      const look = (): void => {
        if (all.includes(text)) resolve()
      }
      child.on('said', look).once('close', () => resolve())
      look()
    })
  return { said, seconds }
}

/** The second of the lines that bash's `times` prints: user and system of what it has run, `0m0.384s 0m0.801s`. */
function childSeconds(out: string): number {
  const times = [...out.matchAll(/(\d+)m(\d+\.\d+)s/g)].slice(-2)
  return times.reduce((sum, [, minutes, seconds]) => sum + Number(minutes) * 60 + Number(seconds), 0)
}

function writeSource(file: string, octets: number): void {
  const piece = newObject(1_048_576)
  const fd = openSync(file, 'w')
  for (let left = octets; left > 0; left -= piece.length) writeSync(fd, piece, 0, Math.min(left, piece.length))
  closeSync(fd)
}

function isSame(source: string, target: string): boolean {
  try {
    return readFileSync(source).equals(readFileSync(target))
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return false
    throw error
  }
}
