import { chmodSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { pino } from 'pino'
import { describe, expect, test } from 'vitest'
import { ConfigError } from '#gateway/errors.ts'
import { parseMdmConfig } from '#mdm/config.ts'
import { startAssembler } from '#mdm/main.ts'
import { type SinkConfig, sinkOf } from '#mdm/sinks/config.ts'
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
      spool: { folder: '/srv/mdm/data/spool', octets: 1_073_741_824 },
      receiveBufferOctets: 4_194_304,
      sinks: [{ kind: 'ndjson', name: 'ndjson', folder: '/srv/mdm/data' }],
      allowSmallBuffer: false,
      metrics: undefined,
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

  test('sets the ring, its size, and where Prometheus may ask', () => {
    const more = { spool: { folder: 'ring', octets: 16_777_216 }, allowSmallBuffer: true, metrics: { port: 9_701 } }
    expect(parseMdmConfig(JSON.stringify({ ...good, ...more }), '/srv/mdm')).toMatchObject({
      spool: { folder: '/srv/mdm/ring', octets: 16_777_216 },
      allowSmallBuffer: true,
      metrics: { host: '127.0.0.1', port: 9_701 },
    })
    expect(faults({ ...good, spool: { octets: 1_000 }, metrics: { host: '0.0.0.0', port: 1 } })).toEqual([
      expect.stringContaining('spool.octets: a whole number, 16777216 to'),
      'metrics.host: 127.0.0.1 or ::1',
    ])
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
    const fault = await startAssembler(join(folder, 'mdm.json'), pino({ level: 'silent' })).catch(
      (error: unknown) => error,
    )
    expect(fault).toBeInstanceOf(ConfigError)
    expect((fault as ConfigError).faults).toEqual([expect.stringContaining('linkKeys')])
    expect((fault as ConfigError).message).not.toContain(text)
    pki.close()
  })
})

describe('its sinks', () => {
  const sinks = (list: unknown): unknown => parseMdmConfig(JSON.stringify({ ...good, sinks: list }), '/srv/mdm').sinks

  const database = { kind: 'postgres', host: '/run/postgresql', database: 'mdm', user: 'ami' }

  test('may be a database, over TLS where it is elsewhere', () => {
    const here = { ...database, name: 'postgres', port: 5_432, statementTimeoutSeconds: 60 }
    expect(sinks([database])).toEqual([{ ...here, passwordFile: undefined, tls: undefined }])
    const elsewhere = { ...database, host: 'db.example', passwordFile: 'pw', tls: { caFile: 'ca.pem' } }
    expect(sinks([elsewhere])).toEqual([
      {
        ...here,
        host: 'db.example',
        passwordFile: '/srv/mdm/pw',
        tls: { caFile: '/srv/mdm/ca.pem', certificateFile: undefined, keyFile: undefined },
      },
    ])
  })

  test('a password that others can read keeps it from starting, and is not told', () => {
    const passwordFile = join(tempFolder(), 'password')
    writeFileSync(passwordFile, 'hunter2\n', { mode: 0o640 })
    const [config] = sinks([{ ...database, passwordFile }]) as SinkConfig[]
    expect(() => sinkOf(config!)).toThrow(/passwordFile: .* is open to others \(640\)/)
    expect(() => sinkOf(config!)).not.toThrow(/hunter2/)
    chmodSync(passwordFile, 0o600)
    expect(sinkOf(config!).name).toBe('postgres')
  })

  test('may be none, several of a kind under names of their own, with folders of their own', () => {
    expect(sinks([])).toEqual([])
    expect(sinks([{ kind: 'ndjson' }, { kind: 'batches', name: 'archive', folder: '/mnt/a' }])).toEqual([
      { kind: 'ndjson', name: 'ndjson', folder: '/srv/mdm/data' },
      { kind: 'batches', name: 'archive', folder: '/mnt/a' },
    ])
  })

  test.for([
    ['of no kind', [{}], 'sinks[0].kind: '],
    ['of an unknown kind', [{ kind: 'csv' }], 'sinks[0].kind: '],
    ['a key that its kind has not', [{ kind: 'ndjson', url: 'x' }], 'sinks[0].url: no such key'],
    ['a name twice', [{ kind: 'ndjson' }, { kind: 'ndjson', folder: 'b' }], 'sinks: a name twice'],
    ['copies of the batches without a folder', [{ kind: 'batches' }], 'sinks[0].folder: a path'],
    ['copies of the batches onto themselves', [{ kind: 'batches', folder: 'data' }], 'sinks: batches: they lie in'],
    ['two writers in one folder', [{ kind: 'ndjson' }, { kind: 'ndjson', name: 'b' }], 'sinks: a kind twice in one'],
    ['a database elsewhere without TLS', [{ ...database, host: 'db.example' }], 'sinks[0].tls: required'],
    ['a password in place', [{ ...database, password: 'x' }], 'sinks[0].password: no such key'],
    [
      'half a client certificate',
      [{ ...database, tls: { caFile: 'a', keyFile: 'b' } }],
      'sinks[0].tls: certificateFile',
    ],
    ['not a list', { kind: 'ndjson' }, 'sinks: at most 8 objects'],
    ['too many', Array.from({ length: 9 }, (_, i) => ({ kind: 'ndjson', name: `n${i}` })), 'sinks: at most 8'],
  ] as const)('%s: a fault', ([, list, fault]) => {
    expect(faults({ ...good, sinks: list })).toContainEqual(expect.stringContaining(fault))
  })
})
