import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pino } from 'pino'
import { describe, expect, test } from 'vitest'
import { ConfigError } from '#gateway/errors.ts'
import { parseStudiesConfig, readStudiesConfig } from '#studies/config.ts'
import { startStudies } from '#studies/main.ts'

const good = { host: '127.0.0.1', port: 0, released: 'data/released.sqlite' }
const tls = { keyFile: 'key.pem', certificateFile: 'cert.pem' }

function faultsOf(act: () => unknown): readonly string[] {
  try {
    act()
  } catch (error) {
    if (error instanceof ConfigError) return error.faults
    throw error
  }
  return []
}

describe('studies configuration', () => {
  test('loopback needs no certificate; paths start from the folder of the file', () => {
    expect(parseStudiesConfig({ ...good, zones: 'zones.json' }, '/etc/ami')).toEqual({
      host: '127.0.0.1',
      port: 0,
      names: ['localhost', '127.0.0.1', '[::1]'],
      released: '/etc/ami/data/released.sqlite',
      tls: undefined,
    })
  })

  test('another address with a certificate takes its own name, or those it is given', () => {
    const config = parseStudiesConfig({ ...good, host: 'fd00::7', tls }, '/etc/ami')
    expect(config.names).toEqual(['[fd00::7]'])
    expect(config.tls).toEqual({ keyFile: '/etc/ami/key.pem', certificateFile: '/etc/ami/cert.pem' })
    expect(parseStudiesConfig({ ...good, host: '::', names: ['Studies.Example'], tls }, '/').names).toEqual([
      'studies.example',
    ])
  })

  test.each([
    [null, ['studies: a JSON object']],
    [[], ['studies: a JSON object']],
    [{ ...good, hots: 1 }, ['hots: unknown key']],
    [{ ...good, host: 'studies.example', tls }, ['host: an IP address or localhost']],
    [{ ...good, port: '80' }, ['port: 0 to 65535']],
    [{ ...good, port: 65_536 }, ['port: 0 to 65535']],
    [{ ...good, released: '' }, ['released: a path']],
    [{ ...good, zones: 5 }, ['zones: a path']],
    [{ ...good, names: [] }, ['names: a list of 1 to 32 host names']],
    [{ ...good, names: ['a b'] }, ['names: a list of 1 to 32 host names']],
    [{ ...good, host: '10.0.0.1' }, ['tls: required unless host is loopback']],
    [{ ...good, host: '0.0.0.0', tls }, ['names: required, 0.0.0.0 is no name to ask for']],
    [{ ...good, tls: 'x' }, ['tls: an object']],
    [{ ...good, tls: { keyFile: 'a', pin: 1 } }, ['tls.pin: unknown key', 'tls.certificateFile: a path']],
    [
      { port: 1.5, extra: 0 },
      ['extra: unknown key', 'host: an IP address or localhost', 'port: 0 to 65535', 'released: a path'],
    ],
  ])('%j: every fault at once', (value, faults) => {
    expect(faultsOf(() => parseStudiesConfig(value, '/')).toSorted()).toEqual(faults.toSorted())
  })

  test('a file that is missing or no JSON is a configuration fault', () => {
    const folder = mkdtempSync(join(tmpdir(), 'studies-'))
    const path = join(folder, 'studies.json')
    expect(faultsOf(() => readStudiesConfig(path))).toEqual([expect.stringContaining('ENOENT')])
    writeFileSync(path, '{')
    expect(faultsOf(() => readStudiesConfig(path))).toEqual([expect.stringContaining('JSON')])
    rmSync(folder, { recursive: true })
  })

  test('a certificate that cannot be read, or a port that is taken, is a configuration fault at the start', async () => {
    const log = pino({ level: 'silent' })
    const config = parseStudiesConfig({ ...good, tls }, '/nowhere')
    await expect(startStudies({ config, log })).rejects.toThrow(ConfigError)
    const first = await startStudies({ config: parseStudiesConfig(good, '/nowhere'), log })
    const port = Number(new URL(first.address).port)
    const second = startStudies({ config: parseStudiesConfig({ ...good, port }, '/nowhere'), log })
    await expect(second).rejects.toThrow(/EADDRINUSE/)
    await first.close()
  })
})
