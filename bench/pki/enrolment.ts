import { join } from 'node:path'
import { mainFile } from '#cli/demo/layout.ts'
import type { EnrolmentReport } from '#simulator/enrol.ts'
import { grouped } from '../figures.ts'
import type { PkiLab } from './lab.ts'
import { runProgram } from './program.ts'

/** By the command that an operator would use: factory, EST listener, CA and devices, each as it runs. */
export async function measureEnrolment({ folder }: PkiLab, concentrators: number): Promise<EnrolmentReport> {
  const size = ['--concentrators', `${concentrators}`, '--meters', `${concentrators}`]
  const args = [mainFile, 'simulate', 'enrol', ...size, '--out', join(folder, 'enrolled'), '--json']
  const { out } = await runProgram(process.execPath, args, folder)
  return JSON.parse(out) as EnrolmentReport
}

export function enrolmentLine({ concentrators, enrolled, seconds, perSecond, latencyMs }: EnrolmentReport): string {
  const { p50, p99 } = latencyMs
  return `enrolled ${grouped(enrolled)} of ${grouped(concentrators)} in ${seconds} s, ${grouped(perSecond)} a second; p50 ${p50} ms, p99 ${p99} ms\n`
}
