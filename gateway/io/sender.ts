import { createSocket } from 'node:dgram'
import { isIPv6 } from 'node:net'

/**
 * The one-way socket. It has no receive path: no handler for datagrams, no connected peer whose ICMP errors would come
 * back as errors of ours, and nothing that it is told changes what it sends. Faults of sending are counted, never fatal.
 */
export interface Sender {
  send(datagram: Uint8Array): void
  readonly sent: number
  readonly faults: number
  /** datagrams and octets handed to the kernel, whatever became of them */
  readonly handed: { readonly datagrams: number; readonly octets: number }
  /** handed to the kernel and not yet taken by it: the caller waits while it is `sendingMax` */
  readonly sending: number
  close(): Promise<void>
}

/** Datagrams that wait for a line slower than the pace, the most. */
export const sendingMax = 1_024

export interface SenderOptions {
  /** an IP address: nothing is looked up, since names would be answered from outside */
  host: string
  port: number
  /** our own address, of the same version */
  from: string
}

export function openSender({ host, port, from }: SenderOptions): Sender {
  const family = isIPv6(host) ? 6 : 4
  const socket = createSocket({
    type: family === 6 ? 'udp6' : 'udp4',
    lookup: (name, _options, done) => done(null, name, family),
    recvBufferSize: 1, // the kernel's least: whatever comes is left there
  })
  let [sent, faults, pending] = [0, 0, 0]
  const handed = { datagrams: 0, octets: 0 }
  let idle: (() => void) | undefined
  socket.on('error', () => faults++)
  socket.bind({ address: from, port: 0, exclusive: true })
  return {
    get sent() {
      return sent
    },
    get faults() {
      return faults
    },
    get sending() {
      return pending
    },
    handed,
    send(datagram) {
      pending++
      handed.datagrams++
      handed.octets += datagram.length
      socket.send(datagram, port, host, (error) => {
        if (error === null) sent++
        else faults++
        pending--
        if (pending === 0) idle?.()
      })
    },
    async close() {
      if (pending > 0) await new Promise<void>((resolve) => (idle = resolve))
      socket.close()
    },
  }
}
