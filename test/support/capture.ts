import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { onTestFinished } from 'vitest'

export interface CaptureOptions {
  /** what runs tshark where the interface is */
  launcher: readonly string[]
  device: string
  /** of pcap-filter(7) */
  filter: string
  /** of each packet, as `-T fields` gives it; a summary where there is none */
  field?: string
}

/**
 * What tshark sees on an interface from now on.
 * @returns ends the capture: a line a packet
 */
export async function capture({ launcher, device, filter, field }: CaptureOptions): Promise<() => Promise<string[]>> {
  const fields = field === undefined ? [] : ['-T', 'fields', '-e', field]
  const [program, ...args] = [...launcher, 'tshark', '-l', '-n', '-i', device, '-f', filter, ...fields] as [
    string,
    ...string[],
  ]
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
  return async () => {
    shark.kill('SIGINT')
    await ended
    return lines.split('\n').filter((line) => line !== '')
  }
}
