import { spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { onTestFinished } from 'vitest'

/** A file system of the test's own, in memory and of this size, unmounted when it is finished. @throws Error it cannot be */
export function smallDisk(octets: number): string {
  const folder = mkdtempSync(join(tmpdir(), 'ami-disk-'))
  const { status, stderr } = spawnSync('mount', ['-t', 'tmpfs', '-o', `size=${octets}`, 'ami-test', folder], {
    encoding: 'utf8',
  })
  if (status !== 0) throw new Error(`mount: ${stderr}`)
  onTestFinished(() => {
    spawnSync('umount', ['--lazy', folder])
    rmSync(folder, { recursive: true, force: true })
  })
  return folder
}

/** Why there can be none here, or undefined. */
export function whyNoSmallDisk(): string | undefined {
  const folder = mkdtempSync(join(tmpdir(), 'ami-disk-'))
  const { status, error } = spawnSync('mount', ['-t', 'tmpfs', '-o', 'size=65536', 'ami-test', folder])
  if (status === 0) spawnSync('umount', [folder])
  rmSync(folder, { recursive: true })
  return status === 0 ? undefined : error === undefined ? 'mounting is not permitted' : 'no mount'
}
