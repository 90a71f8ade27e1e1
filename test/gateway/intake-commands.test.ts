import { describe, expect, test } from 'vitest'
import { type CommandResult, commandStatus } from '#gateway/codec/command-result.ts'
import { encodeUplink } from '#gateway/codec/uplink.ts'
import { type Intake, intake, type Refusal } from '#gateway/intake.ts'
import type { Arrival } from '#gateway/io/journal-record.ts'
import type { SqliteLedger } from '#gateway/io/ledger.ts'
import { concentratorId } from '#gateway/model.ts'
import { ledgerIn } from '#test/support/ledger.ts'
import { concentrator, frame, journaled, later, meter, monday, sealedPush, uplink } from '#test/support/meters.ts'
import { tempFolder } from '#test/support/temp.ts'

const other = concentratorId('dc-2')
const one = meter(1)
const commandId = new Uint8Array(16).fill(7)

function result(sequence: number, part: Partial<CommandResult> = {}, from = concentrator): Arrival {
  const told = { commandId, status: commandStatus.done, apdu: Uint8Array.of(1, 2), ...part }
  const body = { kind: 'command-result', ...told } as const
  return {
    concentrator: from,
    receivedAtMs: 1,
    payload: encodeUplink({ concentrator: from, sequence, sentAtMs: 0, body }),
  }
}

/** One command waits, for `dc-1`. */
const refusal: Refusal = (from, id) => {
  if (!Buffer.from(id).equals(commandId)) return 'unknown'
  return from === concentrator ? undefined : 'foreign'
}

function take(ledger: SqliteLedger, arrivals: readonly Arrival[]): Intake {
  const taken = intake(journaled(arrivals, ledger.position), ledger, later, refusal)
  ledger.commit(taken.effects)
  return taken
}

describe('a command result', () => {
  test('that is waited for is handed over, and lies nowhere else', () => {
    const ledger = ledgerIn(tempFolder())
    const { commandResults, effects } = take(ledger, [result(1)])
    expect(commandResults).toMatchObject([{ status: 0 }])
    expect(Buffer.from(commandResults[0]!.commandId).equals(commandId)).toBe(true)
    expect([...commandResults[0]!.apdu]).toEqual([1, 2])
    expect(effects).toMatchObject({ quarantine: [], series: [], counters: [] })
    ledger.close()
  })

  test.for([
    ['of no command', [result(1, { commandId: new Uint8Array(16) })]],
    ["of another concentrator's command", [result(1, {}, other)]],
    ['that comes again under another sequence', [result(1), result(2)]],
  ] as const)('%s is quarantined whole as COMMAND_UNKNOWN', ([, arrivals]) => {
    const ledger = ledgerIn(tempFolder())
    const { commandResults } = take(ledger, arrivals)
    expect(commandResults).toHaveLength(arrivals.length - 1)
    const [kept, ...more] = ledger.quarantined(9)
    expect(kept).toMatchObject({ code: 'COMMAND_UNKNOWN', concentrator: arrivals.at(-1)!.concentrator })
    expect(Buffer.from(kept!.octets).equals(arrivals.at(-1)!.payload)).toBe(true)
    expect(more).toEqual([])
    ledger.close()
  })

  test('that is redelivered is a repeat and no fault', () => {
    const ledger = ledgerIn(tempFolder())
    expect(take(ledger, [result(1), result(1)])).toMatchObject({ repeatedUplinks: 1, commandResults: [{}] })
    expect(take(ledger, [result(1)])).toMatchObject({ repeatedUplinks: 1, commandResults: [] })
    expect(ledger.quarantined(9)).toEqual([])
    ledger.close()
  })

  test('leaves the frames around it alone', () => {
    const ledger = ledgerIn(tempFolder(), [one])
    const push = (counter: number) =>
      frame(one, sealedPush(one, { counter, rows: [[monday + counter * 900, counter]] }))
    const arrivals = [uplink(1, [push(1)]), result(2, { commandId: new Uint8Array(16) }), uplink(3, [push(2)])]
    expect(take(ledger, arrivals)).toMatchObject({ readings: 2, commandResults: [] })
    ledger.close()
  })
})

describe('where a meter can be asked', () => {
  const push = (counter: number) => frame(one, sealedPush(one, { counter, rows: [[monday + counter * 900, counter]] }))

  test('is the concentrator that last brought a frame of it, and that stays after a restart', () => {
    const folder = tempFolder()
    const ledger = ledgerIn(folder, [one])
    const route = (of: SqliteLedger) => of.commands.route(of.registry.meter(one.meter)!)
    expect(route(ledger)).toBeUndefined()
    take(ledger, [uplink(1, [push(1)])])
    expect(route(ledger)).toEqual({ concentrator, sent: -1 })
    ledger.commands.store(ledger.registry.meter(one.meter)!, { sent: 41, received: 0 })
    take(ledger, [uplink(1, [push(2)], other)])
    expect(route(ledger)).toEqual({ concentrator: other, sent: 41 })
    ledger.close()
    const again = ledgerIn(folder)
    expect(route(again)).toEqual({ concentrator: other, sent: 41 })
    again.close()
  })

  test('is not moved by a frame that is forged or comes again', () => {
    const ledger = ledgerIn(tempFolder(), [one])
    take(ledger, [uplink(1, [push(1)])])
    const forged = push(2)
    forged.apdu[forged.apdu.length - 1]! ^= 1
    take(ledger, [uplink(1, [push(1), forged], other)])
    expect(ledger.commands.route(ledger.registry.meter(one.meter)!)).toMatchObject({ concentrator })
    ledger.close()
  })

  test('has counters that never go back', () => {
    const ledger = ledgerIn(tempFolder(), [one])
    take(ledger, [uplink(1, [push(5)])])
    const registered = ledger.registry.meter(one.meter)!
    for (const [sent, received, after] of [
      [10, 9, [10, 9]],
      [3, 20, [10, 20]],
      [11, 4, [11, 20]],
    ] as const) {
      ledger.commands.store(registered, { sent, received })
      expect([ledger.commands.route(registered)!.sent, registered.counter]).toEqual(after)
      const { counter } = ledger.database.prepare('SELECT counter FROM meter').get() as { counter: number }
      expect(counter).toBe(after[1])
    }
    expect(take(ledger, [uplink(2, [push(20)])]).effects.quarantine).toMatchObject([{ code: 'COUNTER_REPLAYED' }])
    ledger.close()
  })
})
