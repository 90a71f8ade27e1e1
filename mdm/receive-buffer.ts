import { readFileSync } from 'node:fs'
import { ConfigError } from '#gateway/errors.ts'

/** Octets of the kernel's receive buffer, the least: at 50 MB/s of 1,400 octets it outlives a stall of 100 ms. */
export const receiveBufferOctetsMin = 4_194_304

/** What the kernel dropped because a receive buffer was full: of this socket, and of all of the machine's. */
export interface KernelDrops {
  socket: number
  rcvbufErrors: number
}

/**
 * What is wrong with a receive buffer, if anything, and the setting that mends it.
 * @param got octets that the kernel gave (Linux tells twice as much)
 * @throws ConfigError `RECEIVE_BUFFER` where it is too small and `allowSmall` is not set
 */
export function judgeReceiveBuffer(
  got: number,
  { wanted, allowSmall }: { wanted: number; allowSmall: boolean },
): {
  octets: number
  wanted: number
  mend: string | undefined
} {
  const mend = `sysctl -w net.core.rmem_max=${Math.max(wanted, receiveBufferOctetsMin)}`
  if (got < receiveBufferOctetsMin && !allowSmall) {
    throw new ConfigError([
      `RECEIVE_BUFFER: the kernel gave a receive buffer of ${got} octets, ${receiveBufferOctetsMin} is the least: ${mend} ` +
        `(and receiveBufferOctets at least as much); "allowSmallBuffer": true starts it anyway, and bursts will be lost`,
    ])
  }
  return { octets: got, wanted, mend: got < Math.max(wanted, receiveBufferOctetsMin) ? mend : undefined }
}

/** Of the network namespace that this process is in; zero where /proc does not tell. */
export function kernelDrops(port: number): KernelDrops {
  const [four, six] = [table('/proc/net/udp'), table('/proc/net/udp6')]
  return {
    socket: socketDrops(four, port) + socketDrops(six, port),
    rcvbufErrors: snmpRcvbufErrors(table('/proc/net/snmp')) + snmp6RcvbufErrors(table('/proc/net/snmp6')),
  }
}

/** The last column of the lines of /proc/net/udp whose local port this is. */
export function socketDrops(text: string, port: number): number {
  const ending = `:${port.toString(16).toUpperCase().padStart(4, '0')}`
  const rows = text.split('\n').map((line) => line.trim().split(/\s+/))
  return rows.reduce((sum, row) => (row[1]?.endsWith(ending) ? sum + Number(row.at(-1)) : sum), 0)
}

/** `RcvbufErrors` of the two lines `Udp:` of /proc/net/snmp. */
export function snmpRcvbufErrors(text: string): number {
  const [names, values] = text.split('\n').filter((line) => line.startsWith('Udp:'))
  const at = names?.split(' ').indexOf('RcvbufErrors') ?? -1
  return Number(values?.split(' ')[at] ?? 0)
}

/** `Udp6RcvbufErrors` of /proc/net/snmp6. */
export function snmp6RcvbufErrors(text: string): number {
  return Number(/^Udp6RcvbufErrors\s+(\d+)$/m.exec(text)?.[1] ?? 0)
}

function table(file: string): string {
  try {
    return readFileSync(file, 'latin1')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return '' // not Linux, or no IPv6
    throw error
  }
}
