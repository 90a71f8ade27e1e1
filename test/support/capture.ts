import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { expect, onTestFinished, vi } from 'vitest'

export interface CaptureOptions {
  /** what runs tshark where the interface is */
  launcher: readonly string[]
  device: string
  /** of pcap-filter(7) */
  filter: string
  /** of each packet, as `-T fields` gives it; a summary where there is none */
  field?: string
}

/** Of the kernel's buffer for the capture: a busy machine lets tshark wait. */
const bufferMib = '64'

/**
 * What tshark sees on an interface from now on.
 * @returns ends the capture, when it has seen so many packets at least: a line a packet
 */
export async function capture({
  launcher,
  device,
  filter,
  field,
}: CaptureOptions): Promise<(atLeast?: number) => Promise<string[]>> {
  const fields = field === undefined ? [] : ['-T', 'fields', '-e', field]
  const [program, ...args] = [
    ...launcher,
    'tshark',
    '-l',
    '-n',
    '-i',
    device,
    '-B',
    bufferMib,
    '-f',
    filter,
    ...fields,
  ] as [string, ...string[]]
  const shark = spawn(program, args, { stdio: ['ignore', 'pipe', 'pipe'] })
  onTestFinished(() => void shark.kill('SIGKILL'))
  const ended = once(shark, 'close')
  let [lines, said] = ['', '']
  shark.stdout.on('data', (chunk) => {
    lines += chunk
  })
  await new Promise<void>((resolve, reject) => {
    shark.stderr.on('data', (chunk) => {
      said += chunk
      if (said.includes('Capture started')) resolve()
    })
    shark.once('close', () => reject(new Error(said)))
  })
  const packets = (): string[] => lines.split('\n').filter((line) => line !== '')
  return async (atLeast = 0) => {
    // What is on its way through tshark when it is told to end is gone.
    await vi.waitFor(() => expect(packets().length).toBeGreaterThanOrEqual(atLeast), { timeout: 30_000, interval: 100 })
    shark.kill('SIGINT')
    await ended
    return packets()
  }
}
