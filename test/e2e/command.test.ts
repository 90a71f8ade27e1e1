import { spawnSync } from 'node:child_process'
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest'
import { type Layout, layOut, mainFile } from '#cli/demo/layout.ts'
import { exitOf } from '#cli/gateway-control.ts'
import { decodeDownlink } from '#gateway/codec/downlink.ts'
import { parseSystemTitle } from '#gateway/model.ts'
import { answering, ask, fleetOf, HeldConcentrator, type OnCommand } from '#test/support/commanded.ts'
import { HeadEnd } from '#test/support/head-end.ts'

const nobody = parseSystemTitle('00000000000000ff')

/** One for all: each test goes on with the ledger that the one before has left. */
let layout: Layout
beforeAll(async () => {
  const folder = mkdtempSync(join(tmpdir(), 'ami-command-'))
  // An interval lasts longer than the test: after its history the fleet is silent.
  layout = await layOut(folder, { concentrators: 2, meters: 4, intervalSeconds: 3_600, curvesFile: undefined })
  const config = JSON.parse(readFileSync(layout.gatewayConfig, 'utf8')) as object
  writeFileSync(layout.gatewayConfig, JSON.stringify({ ...config, forward: { passesAfterMs: [0] } }))
})
afterAll(() => rmSync(layout.folder, { recursive: true, force: true }))

async function begin(): Promise<HeadEnd> {
  const headEnd = new HeadEnd(layout)
  await headEnd.start('gateway')
  return headEnd
}

/** `ami gateway read`, as an operator runs it. */
function read(meter: string, ...args: string[]): { code: number | null; out: string; err: string } {
  const line = [mainFile, 'gateway', 'read', '--config', layout.gatewayConfig, '--meter', meter, ...args]
  const { status, stdout, stderr } = spawnSync(process.execPath, line, { encoding: 'utf8' })
  return { code: status, out: stdout, err: stderr }
}

/** Gives a meter that is registered other keys, as an operator who mistakes one for another. */
function importKeys(meter: string, key: string): void {
  const registry = join(layout.folder, 'wrong.ndjson')
  writeFileSync(registry, JSON.stringify({ meter, substation: 'sub-001', ek: key, ak: key }), { mode: 0o600 })
  spawnSync(process.execPath, [mainFile, 'gateway', 'import', '--config', layout.gatewayConfig, registry])
}

/** Until the gateway has heard of the meter and its concentrator takes commands. */
function untilRead(meter: Parameters<typeof ask>[1]['meter']): Promise<unknown> {
  return vi.waitFor(async () => expect(await ask(layout, { meter })).toMatchObject({ ok: true }), {
    timeout: 10_000,
    interval: 50,
  })
}

/** The last invocation counter that the gateway used under each meter's key. */
function sentCounters(): number[] {
  const ledger = new DatabaseSync(join(layout.folder, 'gateway', 'ledger.sqlite'), { readOnly: true })
  const rows = ledger.prepare('SELECT sent FROM meter_route ORDER BY meter').all() as { sent: number }[]
  ledger.close()
  return rows.map(({ sent }) => sent)
}

/** Results that were quarantined, by the gateway's own count. */
function untilRefused(headEnd: HeadEnd, count: number): Promise<unknown> {
  const refused = () => headEnd.part('gateway').last('gateway.status')?.quarantinedBy as { COMMAND_UNKNOWN?: number }
  return vi.waitFor(() => expect(refused()?.COMMAND_UNKNOWN ?? 0).toBe(count), { timeout: 5_000, interval: 50 })
}

describe('an operator reads a meter through its concentrator', () => {
  test('by the command line: registers, clock, a day of profile; and is told by its exit code what did not go', async () => {
    const headEnd = await begin()
    const meters = fleetOf(layout).flatMap((concentrator) => concentrator.meters)
    const [meter, wrong] = meters.map(({ systemTitle }) => systemTitle) as [typeof nobody, typeof nobody]
    await headEnd.start('simulator')
    await untilRead(meter)

    const both = read(meter, '1-0:1.8.0', '0.0.1.0.0.255', '--json')
    expect(both.code).toBe(0)
    const { concentrator, values } = JSON.parse(both.out)
    expect(concentrator).toBe('dc-00001')
    expect(values).toEqual([
      expect.objectContaining({ obis: '1.0.1.8.0.255', value: expect.any(Number), scaler: 0, unit: 'Wh', time: null }),
      expect.objectContaining({ obis: '0.0.1.0.0.255', name: 'clock', time: expect.stringMatching(/^\d{4}-.*Z$/) }),
    ])

    const { historyStart } = JSON.parse(readFileSync(layout.simulatorConfig, 'utf8'))
    const at = (hours: number): string => new Date((historyStart + hours * 3_600) * 1000).toISOString()
    const [from, to] = [at(1), at(23)].map((text) => text.replace('.000Z', 'Z')) as [string, string]
    const day = read(meter, '1-0:99.1.0', '--from', from, '--to', to)
    expect(day).toMatchObject({ code: 0, err: '' })
    const rows = day.out.trimEnd().split('\n').slice(1)
    expect(rows).toHaveLength((22 * 4 + 1) * 3) // status, import and export of each quarter-hour
    expect(rows[1]).toMatch(new RegExp(`^${from} +1\\.0\\.1\\.8\\.0\\.255 +\\d+ +Wh +active energy import`))
    expect(rows.at(-1)).toContain(to)

    const partly = read(meter, '1-0:1.8.0', '1-0:1.8.9')
    expect(partly).toMatchObject({ code: 1, err: 'ami: 1.0.1.8.9.255, class 3, attribute 2: object-undefined\n' })
    expect(partly.out).toMatch(/Wh +active energy import/)
    expect(await ask(layout, { meter: nobody })).toMatchObject({ fault: { code: 'METER_UNKNOWN' } })

    await headEnd.part('gateway').stop()
    expect(existsSync(join(layout.folder, 'gateway', 'control.sock'))).toBe(false)
    expect(await ask(layout, { meter })).toMatchObject({ fault: { code: 'GATEWAY_DOWN' } })
    importKeys(wrong, '00'.repeat(16))
    await headEnd.start('gateway')
    await untilRead(meter) // the simulator has found it again
    const refused = (await ask(layout, { meter: wrong })) as { fault: { code: 'TAG_UNAUTHENTIC' } }
    expect(exitOf(refused.fault.code)).toBe(4)
    expect(refused).toMatchObject({ ok: false, fault: { code: 'ASSOCIATION_REFUSED' } })

    await headEnd.kill('simulator')
    await vi.waitFor(() => expect(headEnd.part('gateway').last('gateway.status')?.sessions).toBe(0), 5_000)
    const offline = read(meter, '1-0:1.8.0', '--json')
    expect(offline.code).toBe(3)
    expect(JSON.parse(offline.out)).toMatchObject({ ok: false, fault: { code: 'CONCENTRATOR_OFFLINE' } })
    expect(headEnd.log('gateway')).not.toMatch(/"value/)
  }, 40_000)

  test('once: what is late, repeated or forged by another concentrator has no effect', async () => {
    const headEnd = await begin()
    const [first, second] = fleetOf(layout)
    const meter = first!.meters[0]!.systemTitle
    const other = new HeldConcentrator(layout, second!, answering)
    const own = new HeldConcentrator(layout, first!, answering)
    await Promise.all([own.drained(), other.drained()])
    await untilRead(meter)
    await untilRefused(headEnd, 0)

    let apdus = 0
    own.onCommand = async (octets) => {
      apdus++
      const result = own.take(octets)
      other.send(result) // as its own, before the true one
      await other.drained()
      own.send(result)
      own.send(result)
    }
    expect(await ask(layout, { meter })).toMatchObject({ ok: true, concentrator: first!.id })
    await untilRefused(headEnd, 2 * apdus) // each forged once and repeated once
    expect(headEnd.log('gateway')).toMatch(/"event":"peer.refused","code":"COMMAND_UNKNOWN".*"concentrator":"dc-00002"/)

    const late = Promise.withResolvers<Uint8Array>()
    own.onCommand = (octets) => late.resolve(octets)
    const expired = await ask(layout, { meter, timeoutMs: 1_000 })
    expect(expired).toMatchObject({ ok: false, fault: { code: 'COMMAND_EXPIRED' } })
    const octets = await late.promise
    await vi.waitFor(() => expect(Date.now()).toBeGreaterThan(decodeDownlink(octets).expiresAtMs))
    const result = own.take(octets)
    expect(result).toMatchObject({ status: 1, apdu: new Uint8Array() }) // and the meter heard nothing
    own.send(result)
    await untilRefused(headEnd, 2 * apdus + 1)
    own.onCommand = answering
    expect(await ask(layout, { meter })).toMatchObject({ ok: true })
  }, 30_000)

  test('and SIGKILL in mid-command leaves nothing hanging, and no counter goes back', async () => {
    const headEnd = await begin()
    const [first] = fleetOf(layout)
    const meter = first!.meters[0]!.systemTitle
    const own = new HeldConcentrator(layout, first!, answering)
    await own.drained()
    await untilRead(meter)

    const inFlight = Promise.withResolvers<Uint8Array>()
    let left = 3
    const holding: OnCommand = (octets, self) => {
      left--
      if (left > 0) answering(octets, self)
      else if (left === 0) inFlight.resolve(octets)
    }
    own.onCommand = holding
    const asked = ask(layout, { meter })
    const held = await inFlight.promise
    await headEnd.kill('gateway')
    expect(await asked).toMatchObject({ ok: false, fault: { code: 'GATEWAY_DOWN' } })
    const before = sentCounters()

    await headEnd.start('gateway')
    own.send(own.take(held))
    await untilRefused(headEnd, 1)
    expect(headEnd.part('gateway').last('gateway.status')).toMatchObject({ commands: { underWay: 0 } })
    own.onCommand = answering
    await untilRead(meter)
    const after = sentCounters()
    expect(after[0]).toBeGreaterThan(before[0]!)
    expect(await headEnd.part('gateway').stop()).toBe(0)
  }, 30_000)
})
