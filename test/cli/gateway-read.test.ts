import { writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { describe, expect, onTestFinished, test } from 'vitest'
import { UsageError } from '#cli/command.ts'
import { askGateway, exitOf } from '#cli/gateway-control.ts'
import { readMeter, readOptions } from '#cli/gateway-read.ts'
import { controlLineOctetsMax, type ReadRequest } from '#gateway/command-request.ts'
import { ConfigError } from '#gateway/errors.ts'
import { parseSystemTitle } from '#gateway/model.ts'
import { tempFolder } from '#test/support/temp.ts'

const defaults = Object.fromEntries(
  Object.entries(readOptions).map(([name, one]) => [name, 'default' in one ? one.default : undefined]),
)
const values = { ...defaults, config: 'none.json', meter: '414d490000000001', json: false }
const request: ReadRequest = {
  meter: parseSystemTitle(values.meter),
  attributes: [],
  range: undefined,
  timeoutMs: 1_000,
  association: 'gmac',
}

/** What is asked of the gateway stops at its configuration file, which is not there. */
describe('the command line', () => {
  test.for([
    ['no code', {}, []],
    ['seventeen codes', {}, Array.from({ length: 17 }, (_, i) => `1-0:1.8.${i}`)],
    ['a code that is none', {}, ['1.8.0']],
    ['a group beyond an octet', {}, ['1.0.1.8.256.255']],
    ['no meter', { meter: undefined }, ['1-0:1.8.0']],
    ['a meter that is none', { meter: '414d49' }, ['1-0:1.8.0']],
    ['a class that is none', { class: 'register' }, ['1-0:1.8.0']],
    ['attribute 0', { attribute: '0' }, ['1-0:1.8.0']],
    ['a range of a register', { from: '2026-01-01T00:00:00Z', to: '2026-01-02T00:00:00Z' }, ['1-0:1.8.0']],
    ['half a range', { from: '2026-01-01T00:00:00Z' }, ['1-0:99.1.0']],
    ['a range that runs backward', { from: '2026-01-02T00:00:00Z', to: '2026-01-01T00:00:00Z' }, ['1-0:99.1.0']],
    ['a local time', { from: '2026-01-01T00:00:00', to: '2026-01-02T00:00:00' }, ['1-0:99.1.0']],
    ['no time at all', { timeout: '0' }, ['1-0:1.8.0']],
    ['another association', { association: 'lls' }, ['1-0:1.8.0']],
  ] as const)('with %s is not understood', async ([, part, codes]) => {
    await expect(readMeter({ ...values, ...part }, codes)).rejects.toThrow(UsageError)
  })

  test.for([
    ['a code in either form, twice', {}, ['1-0:1.8.0', '1.0.1.8.0.255']],
    ['a range of a profile', { from: '2026-01-01T00:00+01:00', to: '2026-01-02T00:00:00Z' }, ['1-0:99.1.0']],
    ['a class of its own', { class: '7', from: '2026-01-01T00:00:00Z', to: '2026-01-02T00:00:00Z' }, ['0-1:24.3.0']],
  ] as const)('with %s is understood', async ([, part, codes]) => {
    await expect(readMeter({ ...values, ...part }, codes)).rejects.toThrow(ConfigError)
  })
})

describe('the gateway', () => {
  async function answering(text: string): Promise<string> {
    const path = join(tempFolder(), 'control.sock')
    const server = createServer((socket) => socket.on('error', () => socket.destroy()).end(text))
    await new Promise<void>((resolve) => server.listen(path, resolve))
    onTestFinished(() => void server.close())
    return path
  }

  test('that does not run, or went away, is told apart from one that refuses', async () => {
    const folder = tempFolder()
    const down = { ok: false, fault: { code: 'GATEWAY_DOWN' } }
    expect(await askGateway(join(folder, 'control.sock'), request)).toMatchObject(down)
    writeFileSync(join(folder, 'file'), '')
    expect(await askGateway(join(folder, 'file'), request)).toMatchObject(down)
    expect(await askGateway(await answering(''), request)).toMatchObject(down)
    expect(await askGateway(await answering('x'.repeat(controlLineOctetsMax + 1)), request)).toMatchObject(down)
    const refused = { ok: false, fault: { code: 'METER_UNKNOWN', detail: '' } }
    expect(await askGateway(await answering(`${JSON.stringify(refused)}\n`), request)).toEqual(refused)
  })

  test.for([
    ['METER_UNKNOWN', 2],
    ['COMMAND_LIMIT', 2],
    ['CONCENTRATOR_OFFLINE', 3],
    ['COMMAND_EXPIRED', 3],
    ['METER_SILENT', 3],
    ['ASSOCIATION_REFUSED', 4],
    ['TAG_UNAUTHENTIC', 4],
    ['COMMAND_FAILED', 4],
    ['GATEWAY_ENDING', 69],
    ['GATEWAY_DOWN', 69],
  ] as const)('that says %s makes the exit code %i', ([code, exit]) => {
    expect(exitOf(code)).toBe(exit)
  })
})
