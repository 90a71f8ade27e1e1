import { chmodSync, existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { drawQuestions } from '#pki/enrolment/link.ts'
import type { Answer } from '#pki/enrolment/queue.ts'
import { makeDeviceKey } from '#pki/est/request.ts'
import { createMaker } from '#pki/manufacturers/maker.ts'
import { throwawayPki, type WithForeign } from '#test/support/pki.ts'
import { tempFolder } from '#test/support/temp.ts'
import { ami } from './enrolment-cast.ts'

let pki: WithForeign
const file = (name: string): string => join(pki.dir, name)
const header = 'manufacturer,serial,concentrator\n'

beforeAll(async () => {
  pki = await throwawayPki()
  const maker = await createMaker('Acme', () => Date.now() / 1_000)
  writeFileSync(file('acme.pem'), maker.caPem)
  const { chainPem, privateKeyPem } = await maker.make('SN-1')
  writeFileSync(file('factory.pem'), chainPem)
  writeFileSync(file('factory.key'), privateKeyPem, { mode: 0o600 })
  expect(ami('pki', 'manufacturers', '--dir', pki.caDir, file('acme.pem')).code).toBe(0)
})
afterAll(() => pki.close())

describe('ami pki inventory', () => {
  const inventory = (name: string, ...args: string[]) =>
    ami('pki', 'inventory', name, '--dir', pki.caDir, '--json', ...args)
  const manifest = (text: string): string => {
    writeFileSync(file('manifest.csv'), header + text)
    return file('manifest.csv')
  }

  test('imports all or nothing, again without harm, and lists', () => {
    expect(JSON.parse(inventory('import', manifest('Acme,SN-1,dc-1\nAcme,SN-2,dc-2\n')).out)).toEqual({
      added: 2,
      known: 0,
    })
    expect(JSON.parse(inventory('import', manifest('Acme,SN-2,dc-2\nAcme,SN-3,dc-3\n')).out)).toEqual({
      added: 1,
      known: 1,
    })
    for (const [text, code] of [
      ['Acme,SN-4,dc-4\nAcme,SN-5\n', 'MANIFEST_INVALID'],
      ['Acme,SN-4,dc-4\nAcme,SN-5,dc.5\n', 'MANIFEST_INVALID'],
      ['Acme,SN-4,dc-4\nNobody,SN-5,dc-5\n', 'MANIFEST_MANUFACTURER'],
      ['Acme,SN-4,dc-4\nAcme,SN-5,dc-1\n', 'MANIFEST_CONFLICT'],
    ] as const) {
      const refused = inventory('import', manifest(text))
      expect([refused.code, JSON.parse(refused.out).fault.code]).toEqual([1, code])
    }
    const { devices } = JSON.parse(inventory('list', '--after', 'dc-1').out)
    expect(devices.map(({ concentrator }: { concentrator: string }) => concentrator)).toEqual(['dc-2', 'dc-3'])
  })

  test.each([
    ['a name nobody knows', ['mint'], 64],
    ['no file', ['import'], 64],
    ['two devices', ['release', 'dc-1', 'dc-2'], 64],
    ['a reason of two lines', ['quarantine', '--reason', 'a\nb', 'dc-1'], 64],
    ['a file that is not there', ['import', '/nowhere/manifest.csv'], 78],
    ['a device that is in order', ['release', 'dc-1'], 1],
    ['no device', ['quarantine', 'dc-99'], 1],
  ])('with %s: exit code', (_, args, code) => {
    expect(ami('pki', 'inventory', '--dir', pki.caDir, ...args)).toMatchObject({ code, out: '' })
  })

  test('makes no inventory where no PKI is', () => {
    expect(ami('pki', 'inventory', 'list', '--dir', file('nowhere')).code).toBe(78)
    expect(existsSync(file('nowhere'))).toBe(false)
  })
})

describe('ami pki enrol', () => {
  const args = (url: string, outKey: string): string[] => [
    ...['pki', 'enrol', '--url', url, '--trust', pki.rootFile, '--cert', file('factory.pem'), '--json'],
    ...['--key', file('factory.key'), '--out-key', outKey, '--out', file('out.pem')],
  ]

  test('keeps the key that it made when nobody answers, and makes no second one', () => {
    const asked = () => ami(...args('https://127.0.0.1:1', file('new.key')))
    const first = asked()
    expect([first.code, JSON.parse(first.out).fault.code]).toEqual([1, 'EST_UNREACHABLE'])
    const key = readFileSync(file('new.key'), 'utf8')
    expect(asked().code).toBe(1)
    expect(readFileSync(file('new.key'), 'utf8')).toBe(key)
  })

  test('uses no key that others may read, no URL that is not https, and leaves no option out', () => {
    writeFileSync(file('open.key'), makeDeviceKey())
    chmodSync(file('open.key'), 0o644)
    expect(ami(...args('https://127.0.0.1:1', file('open.key'))).code).toBe(78)
    expect(ami(...args('http://127.0.0.1:1', file('new.key'))).code).toBe(64)
    expect(ami(...args('https://127.0.0.1:1', file('new.key')).slice(0, -2)).code).toBe(64)
  })
})

describe('ami pki est', () => {
  test('names everything wrong in its configuration, exit code 78', () => {
    writeFileSync(
      file('est.json'),
      JSON.stringify({ host: '127.0.0.1', port: -1, clientTrustFiles: [], waitMs: 1, colour: 'red' }),
    )
    const { code, err } = ami('pki', 'est', '--config', file('est.json'))
    expect(code).toBe(78)
    for (const key of ['port', 'keyFile', 'certificateFile', 'clientTrustFiles', 'queueSocket', 'waitMs', 'colour']) {
      expect(err).toContain(key)
    }
  })

  test.each([
    ['nothing', [], 64],
    ['another word', ['cb', '--queue', 'x'], 64],
    ['a CA without a queue', ['ca', '--dir', 'x'], 64],
    ['a configuration that is not there', ['--config', '/nowhere/est.json'], 78],
    ['a PKI that is not there', ['ca', '--dir', '/nowhere', '--queue', 'x'], 78],
  ])('with %s: exit code', (_, args, code) => {
    expect(ami('pki', 'est', ...args)).toMatchObject({ code, out: '' })
  })
})

test.each(['inventory', 'est', 'enrol', 'renew'])('ami pki %s --help says how it is used', (name) => {
  const { code, out } = ami('pki', name, '--help')
  expect([code, out]).toEqual([0, expect.stringContaining(`ami pki ${name}`)])
})

test('a CA cuts off a listener that sends more than it was asked for', async () => {
  const folder = tempFolder()
  mkdirSync(join(folder, 'q'), { mode: 0o700 })
  const path = join(folder, 'q', 'ca.sock')
  const line = `${JSON.stringify({ id: 'x', chain: [], request: '' })}\n`
  const server = createServer((socket) => {
    socket.on('error', () => undefined).resume()
    socket.write(line.repeat(100))
  })
  await new Promise<void>((resolve) => server.listen(path, resolve))
  const [why, work] = [Promise.withResolvers<Error | undefined>(), Promise.withResolvers<Answer[]>()]
  const drawing = drawQuestions(path, {
    together: 5,
    answer: () => work.promise,
    onChange: (up, reason) => up || why.resolve(reason),
  })
  expect(await why.promise).toMatchObject({ code: 'EST_BODY', message: expect.stringContaining('10 questions') })
  work.resolve([])
  await drawing.close()
  await new Promise((resolve) => server.close(resolve))
})
