import { readFileSync } from 'node:fs'

/** Linux counts processor time to its users in hundredths. @see proc(5), times(2) */
const ticksPerSecond = 100

/** Processor seconds of all threads of a process so far. @see proc(5), /proc/pid/stat */
export function cpuSecondsOf(pid: number): number {
  const stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ') // from field 3; utime is 14, stime 15
  return (Number(fields[11]) + Number(fields[12])) / ticksPerSecond
}

/** The greatest resident set of a process so far, octets. @see proc(5), VmHWM */
export function residentOctetsMax(pid: number): number {
  return Number(/^VmHWM:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))![1]) * 1_024
}
