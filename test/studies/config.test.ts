import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { pino } from 'pino'
import { describe, expect, test } from 'vitest'
import { ConfigError } from '#gateway/errors.ts'
import { parseStudiesConfig } from '#studies/config.ts'
import { startStudies } from '#studies/main.ts'
import { Released } from './released.ts'

const tls = { keyFile: 'key.pem', certificateFile: 'cert.pem' }
const local = { zonesFile: 'zones.json', loopback: { studies: 0 }, released: 'data/released.sqlite' }
const site = { zonesFile: 'zones.json', tls, released: 'data/released.sqlite' }
const log = pino({ level: 'silent' })

function faultsOf(text: string): readonly string[] {
  try {
    parseStudiesConfig(text, '/')
  } catch (error) {
    if (error instanceof ConfigError) return error.faults
    throw error
  }
  return []
}

describe('studies configuration', () => {
  test('loopback needs no certificate; paths start from the folder of the file', () => {
    expect(parseStudiesConfig(JSON.stringify(local), '/etc/ami')).toEqual({
      zonesFile: '/etc/ami/zones.json',
      loopback: { studies: 0 },
      released: '/etc/ami/data/released.sqlite',
      names: undefined,
      tls: undefined,
    })
  })

  test('a site has a certificate, and its names in lower case', () => {
    const text = JSON.stringify({ ...site, names: ['Studies.Example', '[2001:DB8::7]'] })
    const { loopback, names, tls } = parseStudiesConfig(text, '/etc/ami')
    expect(loopback).toBeUndefined()
    expect(names).toEqual(['studies.example', '[2001:db8::7]'])
    expect(tls).toEqual({ keyFile: '/etc/ami/key.pem', certificateFile: '/etc/ami/cert.pem' })
  })

  const badNames = 'names: 1 to 32 of a host name or an address, without port'
  test.each([
    [null, ['configuration: an object', 'zonesFile: a path', 'released: a path', 'tls: required without loopback']],
    [{ ...local, host: '127.0.0.1' }, ['host: no such key']],
    [{ ...local, port: 8080 }, ['port: no such key']],
    [{ ...local, zones: 'zones.json' }, ['zones: no such key']],
    [{ ...local, zonesFile: 5 }, ['zonesFile: a path']],
    [{ ...local, released: '' }, ['released: a path']],
    [{ ...local, loopback: {} }, ['loopback.studies: a whole number, 0 to 65535']],
    [{ ...local, loopback: { studies: 65_536 } }, ['loopback.studies: a whole number, 0 to 65535']],
    [
      { ...local, loopback: { studies: '80', uplink: 1 } },
      ['loopback.studies: a whole number, 0 to 65535', 'loopback.uplink: no such key'],
    ],
    [{ ...local, tls }, ['tls: not with loopback, which is plain HTTP']],
    [{ ...local, names: [] }, [badNames]],
    [{ ...local, names: ['a b'] }, [badNames]],
    [{ ...local, names: ['a', 5] }, [badNames]],
    [{ ...local, names: ['studies.example:8443'] }, [badNames]],
    [{ ...local, names: Array.from({ length: 33 }, (_, i) => `h${i}`) }, [badNames]],
    [{ ...local, names: 'studies.example' }, [badNames]],
    [{ ...site, tls: undefined }, ['tls: required without loopback']],
    [{ ...site, tls: { keyFile: 'a', pin: 1 } }, ['tls.certificateFile: a path', 'tls.pin: no such key']],
    [
      { loopback: { studies: 1.5 }, extra: 0, names: [], tls: {} },
      [
        'zonesFile: a path',
        'loopback.studies: a whole number, 0 to 65535',
        'released: a path',
        badNames,
        'tls.keyFile: a path',
        'tls.certificateFile: a path',
        'tls: not with loopback, which is plain HTTP',
        'extra: no such key',
      ],
    ],
  ])('%j: every fault at once', (value, faults) => {
    expect(faultsOf(JSON.stringify(value))).toEqual(faults)
  })

  test('what is no JSON is a configuration fault', () => {
    expect(faultsOf('{')).toEqual([expect.stringMatching(/^configuration: not JSON/)])
  })
})

describe('starting with', () => {
  const starting = (file: string): Promise<unknown> => startStudies(file, log)

  test('a file that is missing, or a zones file that is missing or faulty, is a configuration fault', async () => {
    using released = new Released()
    await expect(starting(join(released.folder, 'none.json'))).rejects.toThrow(
      /^configuration: cannot read .* \(ENOENT\)$/,
    )
    const config = released.configure({ zonesFile: 'zones.json' })
    await expect(starting(config)).rejects.toThrow(/^zonesFile: cannot read .* \(ENOENT\)$/)
    writeFileSync(join(released.folder, 'zones.json'), '{}')
    await expect(starting(config)).rejects.toThrow(/^zones: missing\nhosts: missing\nconduits: missing$/)
  })

  test('a conduit that is not enabled serves nobody', async () => {
    using released = new Released()
    const zonesFile = released.zones(({ conduits }) => (conduits.studies.enabled = false))
    const file = released.configure({ zonesFile })
    await expect(starting(file)).rejects.toThrow(new ConfigError(['zonesFile: its conduit studies is not enabled']))
  })

  test('a certificate that cannot be read, or a port that is taken, is a configuration fault', async () => {
    using released = new Released()
    await expect(starting(released.configure({ loopback: undefined, tls }))).rejects.toThrow(/^tls: ENOENT/)
    const first = await startStudies(released.configure(), log)
    const taken = released.configure({ loopback: { studies: Number(new URL(first.address).port) } })
    await expect(starting(taken)).rejects.toThrow(/^loopback: .*EADDRINUSE/)
    await expect(starting(taken)).rejects.toThrow(ConfigError)
    await first.close()
  })
})
