import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest'
import { command } from '#cli/verify.ts'
import { encodeSeries } from '#gateway/codec/batch.ts'
import type { InclusionProof } from '#mdm/verify.ts'
import { hasOpenssl, openssl, opensslNote } from '#test/pki/openssl.ts'
import { Chain, type Sealed, sealerOf, seriesOf } from '#test/support/batches.ts'
import { meter } from '#test/support/meters.ts'
import { throwawayPki, type WithForeign } from '#test/support/pki.ts'
import { tempFolder } from '#test/support/temp.ts'

let pki: WithForeign
let sealed: Sealed
beforeAll(async () => {
  pki = await throwawayPki()
  sealed = await new Chain(await sealerOf(pki), 7).next([seriesOf(1), seriesOf(2, 5), seriesOf(3)])
})
afterAll(() => pki.close())

/** Runs `ami verify … --json` in this process. @returns its exit code and what it said, in its one line */
async function verify(...args: string[]): Promise<{ code: number; said: Record<string, unknown> }> {
  const { code, text } = await verifyAsText(...args, '--json')
  expect(text.split('\n'), 'one line').toEqual([expect.any(String), ''])
  return { code, said: JSON.parse(text) as Record<string, unknown> }
}

async function verifyAsText(...args: string[]): Promise<{ code: number; text: string }> {
  const written: string[] = []
  const write = vi.spyOn(process.stdout, 'write').mockImplementation((text) => written.push(String(text)) > 0)
  try {
    const code = await command.run(args)
    return { code, text: written.join('') }
  } finally {
    write.mockRestore()
  }
}

/** The batch, or other octets, in a file of a folder of the test's own. */
function filed(octets: Uint8Array | string = sealed.octets): { folder: string; file: string; trust: string[] } {
  const folder = tempFolder()
  const file = join(folder, 'some.batch')
  writeFileSync(file, octets)
  return { folder, file, trust: ['--trust', pki.rootFile] }
}

const reading = `${meter(2).meter},1-0:1.29.0,2026-01-12T00:30:00Z`
const shown = {
  meter: meter(2).meter,
  obis: '1-0:1.29.0',
  end: '2026-01-12T00:30:00Z',
  value: '201',
  scaler: 0,
  unit: 'Wh',
}
const refusal = (code: string) => ({ code: 1, said: { ok: false, fault: expect.objectContaining({ code }) } })

async function proofOf(what: string): Promise<InclusionProof> {
  const { folder, file, trust } = filed()
  const { code } = await verify(file, ...trust, '--reading', what, '--extract', join(folder, 'out'))
  expect(code).toBe(0)
  return JSON.parse(readFileSync(join(folder, 'out', 'proof.json'), 'utf8')) as InclusionProof
}

describe('ami verify', () => {
  test('says who signed a batch, and when', async () => {
    const { file, trust } = filed()
    expect(await verify(file, ...trust)).toEqual({
      code: 0,
      said: {
        ok: true,
        epoch: 7,
        sequence: 1,
        readings: 11,
        signer: 'urn:ami:sealer:gw-1',
        signedAt: expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/),
      },
    })
  })

  test('refuses the batch after any one flipped octet', async () => {
    const step = Math.ceil(sealed.octets.length / 60)
    for (let at = 0; at < sealed.octets.length; at += step) {
      const changed = Uint8Array.from(sealed.octets)
      changed[at]! ^= 0x20
      const { file, trust } = filed(changed)
      expect(await verify(file, ...trust), `octet ${at}`).toMatchObject({ code: 1, said: { ok: false } })
    }
  })

  test('refuses it under another root', async () => {
    const { file } = filed()
    expect(await verify(file, '--trust', (await pki.foreign()).rootFile)).toEqual(refusal('BATCH_SIGNATURE'))
  })

  test('proves one reading, and shows neither another of its meter nor another meter', async () => {
    const { file, trust } = filed()
    const { code, said } = await verify(file, ...trust, '--reading', reading)
    expect(code).toBe(0)
    expect(said.reading).toEqual(shown)
    expect(said).not.toHaveProperty('proven')
    const { text } = await verifyAsText(file, ...trust, '--reading', reading)
    expect(text).toContain(`reading    ${JSON.stringify(shown)}\n`)
    for (const all of [JSON.stringify(said), text]) {
      expect(all).not.toContain(meter(1).meter)
      expect(all).not.toMatch(/2026-01-12T00:(15|45)/)
    }
  })

  test('refuses a reading that is not in it', async () => {
    const { file, trust } = filed()
    for (const absent of [
      `${meter(9).meter},1-0:1.29.0,2026-01-12T00:30:00Z`,
      `${meter(2).meter},1-0:2.29.0,2026-01-12T00:30:00Z`,
      `${meter(2).meter},1-0:1.29.0,2026-01-12T00:31:00Z`,
    ]) {
      expect(await verify(file, ...trust, '--reading', absent)).toEqual(refusal('PROOF_INVALID'))
    }
  })

  test('takes a time as UTC and in no other form', async () => {
    const { file, trust } = filed()
    for (const end of ['2026-01-12T00:30:00', '2026-01-12', '2026-01-12T01:30:00+01:00', 'soon', '']) {
      const what = `${meter(2).meter},1-0:1.29.0,${end}`
      await expect(command.run([file, ...trust, '--reading', what])).rejects.toThrow('--reading')
    }
  })

  test('a proof holds alone, for its own reading', async () => {
    const { file, trust } = filed(JSON.stringify(await proofOf(reading)))
    const whole = await verify(file, ...trust)
    expect(whole).toMatchObject({ code: 0, said: { proven: { meter: meter(2).meter, scaler: 0, unit: 'Wh' } } })
    expect(whole.said.proven).toHaveProperty('readings.length', 5)
    expect(await verify(file, ...trust, '--reading', reading)).toMatchObject({ code: 0, said: { reading: shown } })
    const other = reading.replace('00:30', '10:30')
    expect(await verify(file, ...trust, '--reading', other)).toEqual(refusal('PROOF_INVALID'))
  })

  test("a proof with another reading's octets, index or path is refused", async () => {
    const [two, three] = [await proofOf(reading), await proofOf(reading.replace(meter(2).meter, meter(3).meter))]
    const altered = Buffer.from(encodeSeries(seriesOf(2, 5, { values: [200, 999, 202, 203, 204] }))).toString('base64')
    const forged: unknown[] = [
      { ...two, series: three.series },
      { ...two, series: altered },
      { ...two, index: three.index },
      { ...two, path: three.path },
      { ...two, path: [] },
      { ...two, path: Array(33).fill(two.path[0]) },
      { ...two, index: -1 },
      { ...two, index: '1' },
      { ...two, path: 'AAAA' },
      { ...two, series: undefined },
      {},
    ]
    for (const proof of forged) {
      const { file, trust } = filed(JSON.stringify(proof))
      expect((await verify(file, ...trust)).said, JSON.stringify(proof).slice(0, 40)).toMatchObject({
        ok: false,
        fault: { code: expect.stringMatching(/^(PROOF_INVALID|BATCH_MALFORMED)$/) },
      })
    }
  })

  test('a proof under a header that nobody signed is refused', async () => {
    const proof = await proofOf(reading)
    const header = Buffer.from(proof.header, 'base64')
    header[6]! ^= 1
    const { file, trust } = filed(JSON.stringify({ ...proof, header: header.toString('base64') }))
    expect(await verify(file, ...trust)).toEqual(refusal('BATCH_SIGNATURE'))
  })

  test.for(['{', '{"header":', '{]', ''])('of %j says that it is neither, and does not fall over', async (text) => {
    const { file, trust } = filed(text)
    expect(await verify(file, ...trust)).toMatchObject({ code: 1, said: { ok: false } })
  })

  test('says which file is wrong: no such batch, a root that is none', async () => {
    const { file, folder } = filed()
    await expect(command.run([join(folder, 'none'), '--trust', pki.rootFile])).rejects.toThrow('cannot read')
    await expect(command.run([file, '--trust', join(folder, 'none')])).rejects.toThrow('cannot read')
    writeFileSync(join(folder, 'bad.pem'), '-----BEGIN CERTIFICATE-----\n!!!\n-----END CERTIFICATE-----\n')
    await expect(command.run([file, '--trust', join(folder, 'bad.pem')])).rejects.toThrow('bad.pem')
    writeFileSync(join(folder, 'empty.pem'), '')
    await expect(command.run([file, '--trust', join(folder, 'empty.pem')])).rejects.toThrow('no certificate')
    await expect(command.run([file])).rejects.toThrow('--trust')
    await expect(command.run(['--trust', pki.rootFile])).rejects.toThrow('one BATCH')
  })

  test.skipIf(!hasOpenssl)(
    `what it extracts, openssl accepts, and after one flipped octet refuses${opensslNote}`,
    async () => {
      const { folder, file, trust } = filed()
      const out = join(folder, 'out')
      mkdirSync(out)
      await verify(file, ...trust, '--extract', out)
      const judge = (header: string) =>
        openssl(
          'cms',
          '-verify',
          '-binary',
          '-inform',
          'DER',
          '-in',
          join(out, 'header.p7s'),
          '-content',
          header,
          '-CAfile',
          pki.rootFile,
          '-out',
          '/dev/null',
        )
      expect(judge(join(out, 'header.pb'))).toMatchObject({ ok: true })
      const header = readFileSync(join(out, 'header.pb'))
      for (const at of [0, 6, header.length - 1]) {
        const changed = Buffer.from(header)
        changed[at]! ^= 1
        writeFileSync(join(out, 'changed.pb'), changed)
        expect(judge(join(out, 'changed.pb')).ok).toBe(false)
      }
    },
  )
})
