import { chmodSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { pino } from 'pino'
import { describe, expect, test } from 'vitest'
import { ConfigError } from '#gateway/errors.ts'
import { parseMdmConfig } from '#mdm/config.ts'
import { startMdm } from '#mdm/main.ts'
import { throwawayPki } from '#test/support/pki.ts'
import { tempFolder } from '#test/support/temp.ts'

const good = {
  zonesFile: 'zones.json',
  data: 'data',
  trustFile: 'root.pem',
  linkKeys: [
    { id: 0, file: 'old.key' },
    { id: 15, file: '/etc/new.key' },
  ],
}

function faults(config: object): readonly string[] {
  try {
    parseMdmConfig(JSON.stringify(config), '/srv/mdm')
    return []
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error
    return error.faults
  }
}

describe('the configuration of a receiver', () => {
  test('names its files, paths relative to its own folder, and the keys of the link by their ids', () => {
    expect(parseMdmConfig(JSON.stringify(good), '/srv/mdm')).toEqual({
      zonesFile: '/srv/mdm/zones.json',
      loopback: undefined,
      data: '/srv/mdm/data',
      trustFile: '/srv/mdm/root.pem',
      linkKeys: [
        { id: 0, file: '/srv/mdm/old.key' },
        { id: 15, file: '/etc/new.key' },
      ],
      receiveBufferOctets: 4_194_304,
      envelopeKeys: [],
      intakes: [],
    })
  })

  test('names the ways in beside the datagrams, and none twice', () => {
    const drop = { kind: 'files', folder: 'drop' }
    const proxy = { kind: 'tcp', host: '::1', port: 5001 }
    expect(parseMdmConfig(JSON.stringify({ ...good, intakes: [drop, proxy] }), '/srv/mdm').intakes).toEqual([
      { kind: 'files', folder: '/srv/mdm/drop', pollMs: 1_000, stableMs: 2_000 },
      proxy,
    ])
    expect(faults({ ...good, intakes: [proxy, proxy] })).toEqual(['intakes: one twice'])
    expect(faults({ ...good, intakes: [{ kind: 'tcp', host: 'mdm', port: 0 }] })).toEqual([
      expect.stringContaining('intakes[0].host: an IP address'),
      expect.stringContaining('intakes[0].port:'),
    ])
  })

  test.for([
    ['no key', [], 'linkKeys: at least one'],
    ['an id twice', [good.linkKeys[0], { id: 0, file: 'b' }], 'linkKeys: an id twice'],
    ['an id beyond four bits', [{ id: 16, file: 'a' }], 'linkKeys[0].id:'],
  ] as const)('with %s is refused', ([, linkKeys, fault]) => {
    expect(faults({ ...good, linkKeys })).toEqual([expect.stringContaining(fault)])
  })

  test.for([
    ['open to others', '5a'.repeat(32), 0o604],
    ['not 64 hex digits', '5a'.repeat(33), 0o600],
  ] as const)('with a key that is %s it does not start, and tells nothing of the key', async ([, text, mode]) => {
    const [folder, pki] = [tempFolder(), await throwawayPki()]
    const file = join(folder, 'link.key')
    writeFileSync(file, text)
    chmodSync(file, mode)
    const config = {
      zonesFile: fileURLToPath(new URL('../../dmz-config/zones.json', import.meta.url)),
      loopback: { oneway: 0 },
      data: join(folder, 'data'),
      trustFile: pki.rootFile,
      linkKeys: [{ id: 0, file }],
    }
    writeFileSync(join(folder, 'mdm.json'), JSON.stringify(config))
    const fault = await startMdm(join(folder, 'mdm.json'), pino({ level: 'silent' })).catch((error: unknown) => error)
    expect(fault).toBeInstanceOf(ConfigError)
    expect((fault as ConfigError).faults).toEqual([expect.stringContaining('linkKeys')])
    expect((fault as ConfigError).message).not.toContain(text)
    pki.close()
  })
})
