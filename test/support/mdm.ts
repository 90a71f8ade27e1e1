import { chmodSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { onTestFinished } from 'vitest'
import { Child } from '#cli/demo/child.ts'
import { assemblerMemory } from '#cli/mdm.ts'
import type { ThrowawayPki } from './pki.ts'
import { tempFolder } from './temp.ts'

export interface LaidOutMdm {
  folder: string
  config: string
  data: string
  spool: string
}

/** Folder and configuration of a receiver whose link key is that of `datagramsOf`, on a port that the system chooses. */
export function layOutMdm(pki: ThrowawayPki, more: object = {}, folder: string = tempFolder()): LaidOutMdm {
  const [config, data, keyFile] = [join(folder, 'mdm.json'), join(folder, 'data'), join(folder, 'link.key')]
  writeFileSync(keyFile, '5a'.repeat(32))
  chmodSync(keyFile, 0o600)
  const text = {
    zonesFile: fileURLToPath(new URL('../../dmz-config/zones.json', import.meta.url)),
    loopback: { oneway: 0 },
    data,
    trustFile: pki.rootFile,
    linkKeys: [{ id: 5, file: keyFile }],
    allowSmallBuffer: true, // the systems that run tests give what they give
    ...more,
  }
  writeFileSync(config, JSON.stringify(text))
  return { folder, config, data, spool: join(data, 'spool') }
}

/** `ami mdm VERB` as a process of its own, ended with the test. */
export function mdmProcess({ folder, config }: LaidOutMdm, verb: string, ...options: string[]): Child {
  const args = ['mdm', verb, '--config', config, ...options]
  const child = new Child(verb, args, join(folder, `${verb}.log`), verb === 'assemble' ? assemblerMemory : {})
  onTestFinished(async () => {
    child.kill()
    await child.ended
  })
  return child
}
