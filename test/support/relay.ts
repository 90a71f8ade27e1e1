import { createSocket } from 'node:dgram'
import { join } from 'node:path'
import { onTestFinished } from 'vitest'
import { Child } from '#cli/demo/child.ts'

/** Options of `ami simulate link` but its ends. */
export type RelayFaults = Partial<
  Record<
    'loss' | 'burst' | 'burst-every' | 'duplicate' | 'reorder' | 'delay' | 'outage' | 'outage-after' | 'seed',
    number
  >
>

/** A seeded link with faults, in a process of its own, on loopback. @param ends the ports it takes from and gives to */
export async function openRelay(
  folder: string,
  ends: { from: number; to: number },
  faults: RelayFaults,
): Promise<Child> {
  const options = Object.entries(faults).map(([name, value]) => `--${name}=${value}`)
  const line = ['simulate', 'link', `--listen=127.0.0.1:${ends.from}`, `--to=127.0.0.1:${ends.to}`, ...options]
  const relay = new Child('link', line, join(folder, 'link.log'))
  onTestFinished(async () => {
    relay.kill()
    await relay.ended
  })
  await relay.until('link.listening')
  return relay
}

/** UDP ports of loopback that were free, all of them different. */
export async function freePorts(count: number): Promise<number[]> {
  const sockets = Array.from({ length: count }, () => createSocket('udp4'))
  for (const socket of sockets) {
    await new Promise<void>((resolve) => socket.bind({ address: '127.0.0.1', port: 0, exclusive: true }, resolve))
  }
  const ports = sockets.map((socket) => socket.address().port)
  for (const socket of sockets) await new Promise<void>((resolve) => socket.close(resolve))
  return ports
}
