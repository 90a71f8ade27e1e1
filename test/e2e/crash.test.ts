import { appendFileSync, readFileSync, statSync, truncateSync } from 'node:fs'
import { setTimeout as moment } from 'node:timers/promises'
import { describe, expect, test } from 'vitest'
import { HeadEnd, nothingLost } from '#test/support/head-end.ts'
import { tempFolder } from '#test/support/temp.ts'

const fleet = { concentrators: 4, meters: 40, intervalSeconds: 0.05, passesAfterMs: [0, 1_000, 4_000] }

/** A seeded source of moments: a run that failed can be run again. */
function moments(seed: number): (max: number) => number {
  let state = seed >>> 0
  return (max) => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
    return Math.floor((state / 2 ** 32) * max)
  }
}

async function begin(): Promise<HeadEnd> {
  const headEnd = await HeadEnd.layOut(tempFolder(), fleet)
  await Promise.all([headEnd.start('mdm'), headEnd.start('gateway')])
  await headEnd.start('simulator')
  return headEnd
}

/** Every sealed batch verified, every acknowledged reading at the MDM, once. */
async function expectNothingLost(headEnd: HeadEnd): Promise<void> {
  const counted = await headEnd.drain()
  expect(counted).toMatchObject(nothingLost)
  expect(counted.acked).toBeGreaterThan(0)
  expect(counted).toMatchObject({
    delivered: counted.acked,
    verified: counted.acked,
    sealed: counted.acked,
    batchesVerified: counted.batches,
  })
}

const seed = Number(process.env.CRASH_SEED ?? 20_261_125)

describe(`SIGKILL (seed ${seed}; another by CRASH_SEED)`, () => {
  test('ten times of the gateway in mid-run: nothing acknowledged is lost, nothing is doubled', async () => {
    const next = moments(seed)
    const headEnd = await begin()
    for (let kill = 0; kill < 10; kill++) {
      if (kill % 2 === 0) await headEnd.killBeforePuback()
      else {
        await moment(next(800))
        await headEnd.kill('gateway')
      }
      await headEnd.start('gateway')
    }
    await expectNothingLost(headEnd)
    expect(headEnd.repeated()).toBeGreaterThan(0)
  }, 60_000)

  test('of the MDM receiver twice in mid-run: later passes bring what it missed', async () => {
    const next = moments(seed + 1)
    const headEnd = await begin()
    for (let kill = 0; kill < 2; kill++) {
      await moment(next(600))
      await headEnd.kill('mdm')
      await headEnd.part('gateway').until('gateway.status')
      await moment(300) // batches pass it by
      await headEnd.start('mdm')
    }
    await expectNothingLost(headEnd)
  }, 60_000)

  test('of a gateway that is starting and of one that is draining: nothing is lost', async () => {
    const next = moments(seed + 2)
    const headEnd = await HeadEnd.layOut(tempFolder(), fleet)
    for (let kill = 0; kill < 4; kill++) {
      headEnd.spawn('gateway')
      await moment(next(500))
      await headEnd.kill('gateway')
    }
    await Promise.all([headEnd.start('mdm'), headEnd.start('gateway')])
    await headEnd.start('simulator')
    for (let kill = 0; kill < 3; kill++) {
      const gateway = headEnd.part('gateway')
      const ended = gateway.stop()
      await gateway.until('gateway.draining')
      await moment(next(20))
      await headEnd.kill('gateway')
      await ended
      await headEnd.start('gateway')
    }
    await expectNothingLost(headEnd)
  }, 30_000)
})

describe('a torn journal', () => {
  test('is cut back to its last whole record, and what was torn is sent again', async () => {
    const headEnd = await begin()
    await headEnd.kill('gateway')
    const [file, whole] = [headEnd.journalFile, statSync(headEnd.journalFile).size]
    appendFileSync(file, readFileSync(file).subarray(0, 500)) // the head and a part of a record
    await headEnd.start('gateway')
    expect(statSync(file).size).toBeGreaterThanOrEqual(whole)
    await expectNothingLost(headEnd)
  }, 30_000)

  test('that is shorter than what the ledger has consumed keeps the gateway from starting', async () => {
    const headEnd = await begin()
    await headEnd.part('gateway').until('gateway.status')
    await headEnd.kill('gateway')
    truncateSync(headEnd.journalFile, 10)
    await expect(headEnd.start('gateway')).rejects.toThrow(/the ledger has consumed/)
  }, 30_000)
})
