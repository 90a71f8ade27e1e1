import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { describe, expect, onTestFinished, test, vi } from 'vitest'
import { Diode, type DiodeOptions, diodeMac, whyNoDiode } from '#test/support/diode.ts'
import { judge } from '#test/support/judge.ts'
import { OnewayLink, received } from '#test/support/oneway-link.ts'
import { tempFolder } from '#test/support/temp.ts'

const reason = whyNoDiode()
const note = reason === undefined ? '' : ` (skipped: ${reason})`

if (reason !== undefined && process.env.CI !== undefined) {
  test('the one-way link is tried in CI', () => expect(reason).toBeUndefined())
}

function openDiode(options: DiodeOptions = {}): Diode {
  const diode = new Diode(options)
  onTestFinished(() => diode.close())
  return diode
}

/** Frames that reach the DMZ's end from the diode, as tshark sees them. */
async function watchReturn(diode: Diode): Promise<() => Promise<string[]>> {
  const [program, ...args] = diode.within('dmz')
  const shark = spawn(program, [...args, 'tshark', '-l', '-i', 'out', '-f', `ether src ${diodeMac}`], { stdio: 'pipe' })
  onTestFinished(() => void shark.kill('SIGKILL'))
  let [lines, said] = ['', '']
  shark.stdout.on('data', (chunk) => (lines += chunk))
  const ended = once(shark, 'close')
  await new Promise<void>((resolve, reject) => {
    shark.stderr.on('data', (chunk) => {
      said += chunk
      if (said.includes('Capturing on')) resolve()
    })
    shark.once('close', () => reject(new Error(said)))
  })
  return async () => {
    shark.kill('SIGINT')
    await ended
    return lines.split('\n').filter((line) => line !== '')
  }
}

const objects = 200
const objectOctets = 1_000_000
const symbolOctets = 1_400
/** Two objects a second: what a receiver on a busy machine verifies and stores of objects with 19,000 series each. */
const bitsPerSecond = 24_000_000

describe.skipIf(reason !== undefined)(`through a link on which nothing returns${note}`, () => {
  test(`${objects} objects of 1 MB at 10 % loss: one pass brings them all, nothing comes back`, {
    timeout: 480_000,
  }, async () => {
    const diode = openDiode({ lossPercent: 10 })
    const link = await OnewayLink.layOut(tempFolder(), {
      batches: objects,
      octets: objectOctets,
      bitsPerSecond,
      passesAfterMs: [0],
    })
    const returned = judge.tshark.here ? await watchReturn(diode) : undefined
    const mdm = await link.mdm(diode.within('it'))
    const gateway = await link.gateway(diode.within('dmz'))
    await vi.waitFor(() => expect(received(mdm.last('mdm.status'))).toBe(objects), { timeout: 360_000, interval: 500 })
    expect(await gateway.stop()).toBe(0)
    expect(await mdm.stop()).toBe(0)

    const sent = gateway.last('gateway.status')!
    expect(sent).toMatchObject({ batchesForwarded: objects, batchesWaiting: 0, datagramFaults: 0 })
    expect(mdm.last('mdm.status')).toMatchObject({
      batches: objects,
      readings: objects * link.readings,
      refused: {},
      streams: [{ highest: objects, missing: 0 }],
    })
    const { admitted, lost, refused } = diode.counters()
    expect(admitted + lost).toBe(sent.datagrams)
    expect(refused).toBe(0)
    expect(lost / (admitted + lost)).toBeCloseTo(0.1, 2)
    const least = objects * Math.ceil(objectOctets / symbolOctets)
    expect(Number(sent.datagrams) / least).toBeLessThan(1.25)
    expect(diode.counters()).toMatchObject({ passedBack: 0 })
    expect(diode.receivedInDmz()).toBe(0)
    expect((await returned?.()) ?? []).toEqual([])
  })
})
