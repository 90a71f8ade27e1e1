import { randomBytes } from 'node:crypto'
import fc from 'fast-check'
import { describe, expect, onTestFinished, test } from 'vitest'
import { openFleetMeter } from '#cli/simulate-fleet.ts'
import { type CommandResult, commandStatus } from '#gateway/codec/command-result.ts'
import { decodeDownlink, encodeDownlink } from '#gateway/codec/downlink.ts'
import { parseObis } from '#gateway/codec/obis.ts'
import { frameWrapper } from '#gateway/codec/wrapper.ts'
import type { ReadAnswer, ReadRequest } from '#gateway/command-request.ts'
import { Commands, commandLimits, type Outgoing } from '#gateway/commands.ts'
import { type Enlisted, parseEnlisted } from '#gateway/io/enlisted.ts'
import type { SqliteLedger } from '#gateway/io/ledger.ts'
import { concentratorId, parseSystemTitle } from '#gateway/model.ts'
import { CommandDesk } from '#simulator/commands.ts'
import { makeFleet, type SimulatedMeter } from '#simulator/fleet.ts'
import type { ProtectionName } from '#simulator/protections.ts'
import { registryFields } from '#simulator/secrets.ts'
import { ledgerIn } from '#test/support/ledger.ts'
import { concentrator, monday } from '#test/support/meters.ts'
import { tempFolder } from '#test/support/temp.ts'

const other = concentratorId('dc-2')
/** Two meters behind a concentrator and a third that nobody has heard. */
function fleetOf(protection: ProtectionName): [SimulatedMeter, SimulatedMeter, SimulatedMeter] {
  const size = { seed: 1, substations: 1, concentrators: 1, meters: 3, protection: [protection] }
  return [...makeFleet(size).substations[0]!.concentrators[0]!.meters] as ReturnType<typeof fleetOf>
}
const [one, two, three] = fleetOf('suite0-general-glo')

function enlisted({ systemTitle, ek, ak, protection, secrets }: SimulatedMeter): Enlisted {
  const hex = (octets: Uint8Array): string => Buffer.from(octets).toString('hex')
  const line = {
    meter: systemTitle,
    substation: 'S-1',
    ek: hex(ek),
    ak: hex(ak),
    ...registryFields(protection, secrets),
  }
  return parseEnlisted(JSON.stringify(line), [])
}

function request(part: Partial<ReadRequest> = {}): ReadRequest {
  const attributes = [{ classId: 3, obis: parseObis('1-0:1.8.0'), attribute: 2 }]
  return { meter: one.systemTitle, attributes, range: undefined, timeoutMs: 60_000, association: 'gmac', ...part }
}

/** Commands with a ledger, and the concentrator's side of them; nothing moves until `carry` or `take`. */
class Line {
  readonly ledger: SqliteLedger
  readonly commands: Commands
  readonly desk: CommandDesk
  readonly published: Outgoing[] = []
  readonly answers = new Map<number, ReadAnswer>()
  readonly unhandled: Error[] = []
  /** our own counter as it is stored when an APDU leaves */
  readonly storedAtSend: number[] = []
  readonly counter = { last: 100 }

  constructor({ folder = tempFolder(), wrongKey = false, days = 2, protection = one.protection } = {}) {
    const fleet = fleetOf(protection)
    this.ledger = ledgerIn(folder, fleet.map(enlisted))
    const { registry } = this.ledger
    const heard = fleet.slice(0, 2).map((each) => ({ meter: registry.meter(each.systemTitle)!, concentrator }))
    this.ledger.commit({ position: 0, uplinks: [], counters: [], heard, series: [], quarantine: [] })
    this.commands = new Commands({
      registry,
      store: this.ledger.commands,
      own: this.ledger.clientTitle,
      publish: (outgoing) => {
        this.published.push(outgoing)
        this.storedAtSend.push(this.sent())
      },
      answer: (id, answer) => {
        expect(this.answers.has(id)).toBe(false) // exactly once
        this.answers.set(id, answer)
      },
      unhandled: (error) => this.unhandled.push(error),
    })
    const meters = fleet.slice(0, 2).map((each) => (wrongKey ? { ...each, ek: randomBytes(each.ek.length) } : each))
    const clock = { installed: monday, now: () => monday + 86_400 * days }
    this.desk = new CommandDesk({ meters, open: openFleetMeter, ...clock, counter: this.counter })
    onTestFinished(() => {
      this.commands.end()
      this.ledger.close()
    })
  }

  /** our own counter under the first meter's key */
  sent(): number {
    return this.ledger.commands.route(this.ledger.registry.meter(one.systemTitle)!)!.sent
  }

  /** What the concentrator makes of the next downlink. */
  next(nowMs = Date.now()): CommandResult {
    return this.desk.take(this.published.shift()!.octets, nowMs)!
  }

  /** As the intake does: what is refused reaches nobody. */
  take(result: CommandResult, from = concentrator): string | undefined {
    const refusal = this.commands.refusal(from, result.commandId)
    if (refusal === undefined) this.commands.take(result)
    return refusal
  }

  /** To and fro until nothing waits. @returns the answer */
  carry(id: number): ReadAnswer | undefined {
    while (this.published.length > 0) this.take(this.next())
    return this.answers.get(id)
  }
}

describe('a command', () => {
  test('reads a register with its scaler and unit, and nothing of it travels in clear', () => {
    const line = new Line()
    line.commands.ask(1, request())
    const seen: Buffer[] = []
    while (line.published.length > 0) {
      const result = line.next()
      seen.push(Buffer.from(result.apdu))
      line.take(result)
    }
    expect(line.answers.get(1)).toMatchObject({
      ok: true,
      meter: one.systemTitle,
      concentrator,
      objects: [
        { classId: 3, obis: '1-0:1.8.0', attribute: 2, data: expect.any(String) },
        { classId: 3, obis: '1-0:1.8.0', attribute: 3, data: Buffer.from('02020f00161e', 'hex').toString('base64') },
      ],
    })
    expect(seen.some((octets) => octets.includes(Buffer.from('02020f00161e', 'hex')))).toBe(false)
    expect(line.commands.status).toEqual({ underWay: 0, asked: 1, read: 1, failed: 0 })
  })

  test('reads a day of a load profile in blocks', () => {
    const line = new Line()
    const attributes = [{ classId: 7, obis: parseObis('1-0:99.1.0'), attribute: 2 }]
    line.commands.ask(1, request({ attributes, range: { from: monday, to: monday + 86_400 } }))
    const answer = line.carry(1)
    expect(answer).toMatchObject({ ok: true, objects: Array(5).fill({ data: expect.any(String) }) })
    const [buffer] = answer?.ok === true ? answer.objects : []
    expect('data' in buffer! && Buffer.from(buffer.data, 'base64').length).toBeGreaterThan(2_000)
  })

  test('that reads more than an answer holds says so, and the meter is released', () => {
    const line = new Line({ days: 25 })
    const attributes = [{ classId: 7, obis: parseObis('1-0:99.1.0'), attribute: 2 }]
    line.commands.ask(1, request({ attributes }))
    expect(line.carry(1)).toMatchObject({ fault: { code: 'ANSWER_LENGTH' } })
    line.commands.ask(2, request())
    expect(line.carry(2)).toMatchObject({ ok: true })
  })

  test.for(['suite1-general-glo', 'suite2-general-glo', 'suite0-wrapped', 'suite2-agreed-signed'] as const)(
    'reads a meter that protects its pushes in %s',
    (protection) => {
      const line = new Line({ protection })
      line.commands.ask(1, request())
      expect(line.carry(1)).toMatchObject({ ok: true, objects: [{ attribute: 2 }, { attribute: 3 }] })
    },
  )

  test('as the public client reads the clock without keys, and no measured value', () => {
    const line = new Line({ wrongKey: true })
    const attributes = [
      { classId: 8, obis: parseObis('0-0:1.0.0'), attribute: 2 },
      { classId: 3, obis: parseObis('1-0:1.8.0'), attribute: 2 },
    ]
    line.commands.ask(1, request({ attributes, association: 'lowest' }))
    expect(line.carry(1)).toMatchObject({ ok: true, objects: [{ data: expect.any(String) }, { result: 3 }] })
    expect(line.sent()).toBe(-1)
  })

  test('to a meter with other keys fails by its code, and the meter that is well goes on', () => {
    const line = new Line({ wrongKey: true })
    line.commands.ask(1, request())
    expect(line.carry(1)).toMatchObject({ ok: false })
    const well = new Line()
    well.commands.ask(1, request())
    expect(well.carry(1)).toMatchObject({ ok: true })
  })

  test('to a meter that is not registered, or that nobody has heard, is refused before anything is sent', () => {
    const line = new Line()
    line.commands.ask(1, request({ meter: parseSystemTitle('0000000000000009') }))
    line.commands.ask(2, request({ meter: three.systemTitle }))
    expect(line.answers.get(1)).toMatchObject({ fault: { code: 'METER_UNKNOWN' } })
    expect(line.answers.get(2)).toMatchObject({ fault: { code: 'CONCENTRATOR_UNKNOWN' } })
    expect(line.published).toEqual([])
  })

  test('beyond what is taken at a time is refused, and taken again when there is room', () => {
    const line = new Line()
    line.commands.ask(1, request())
    line.commands.ask(2, request())
    expect(line.answers.get(2)).toMatchObject({ fault: { code: 'COMMAND_LIMIT' } })
    for (let id = 3; id < 3 + commandLimits.ofConcentrator; id++)
      line.commands.ask(id, request({ meter: two.systemTitle }))
    expect(line.answers.get(2 + commandLimits.ofConcentrator)).toMatchObject({ fault: { code: 'COMMAND_LIMIT' } })
    expect(line.carry(1)).toMatchObject({ ok: true })
    line.commands.ask(9, request())
    expect(line.carry(9)).toMatchObject({ ok: true })
  })

  test('that cannot be delivered is answered at once', () => {
    const line = new Line()
    line.commands.ask(1, request())
    line.commands.undeliverable(line.published[0]!.commandId)
    expect(line.answers.get(1)).toMatchObject({ fault: { code: 'CONCENTRATOR_OFFLINE' } })
    line.commands.undeliverable(line.published[0]!.commandId)
  })

  test('that meets a fault of ours fails alone, and the operator is told', () => {
    const line = new Line()
    line.commands.ask(1, request({ attributes: undefined as never }))
    expect(line.carry(1)).toMatchObject({ fault: { code: 'UNHANDLED' } })
    expect(line.unhandled).toHaveLength(1)
    line.commands.ask(2, request())
    expect(line.carry(2)).toMatchObject({ ok: true })
  })

  test('whose asker is gone is forgotten, and a gateway that ends answers whoever waits', () => {
    const line = new Line()
    line.commands.ask(1, request())
    line.commands.ask(2, request({ meter: two.systemTitle }))
    line.commands.cancel(1)
    expect(line.take(line.next())).toMatch(/no command waits/)
    line.commands.end()
    expect([...line.answers]).toEqual([[2, expect.objectContaining({ ok: false })]])
    expect(line.commands.status.underWay).toBe(0)
  })

  test('without an answer in its time expires', async () => {
    const line = new Line()
    line.commands.ask(1, request({ timeoutMs: 1 }))
    await expect.poll(() => line.answers.get(1)).toMatchObject({ fault: { code: 'COMMAND_EXPIRED' } })
    expect(line.take(line.next())).toMatch(/no command waits/)
  })

  test.for([
    ['expired', 'COMMAND_EXPIRED'],
    ['foreign', 'METER_FOREIGN'],
    ['silent', 'METER_SILENT'],
    ['busy', 'CONCENTRATOR_BUSY'],
    ['unsupported', 'COMMAND_UNSUPPORTED'],
    ['failed', 'COMMAND_FAILED'],
  ] as const)('that its concentrator answers with %s fails as %s', ([status, code]) => {
    const line = new Line()
    line.commands.ask(1, request())
    line.take({ ...line.next(), status: commandStatus[status] })
    expect(line.answers.get(1)).toMatchObject({ fault: { code } })
  })

  test.for([
    ['nothing', new Uint8Array()],
    ['no wrapper', Buffer.from('c401c100', 'hex')],
    [
      'two APDUs',
      Buffer.concat([1, 2].map(() => frameWrapper(Uint8Array.of(0xd8, 1, 1), { source: 1, destination: 1 }))),
    ],
    ['an exception', frameWrapper(Uint8Array.of(0xd8, 1, 1), { source: 1, destination: 1 })],
  ])('that is answered with %s fails', ([, apdu]) => {
    const line = new Line()
    line.commands.ask(1, request())
    line.take({ ...line.next(), apdu: apdu as Uint8Array })
    expect(line.answers.get(1)).toMatchObject({ ok: false })
  })
})

describe('our own counter', () => {
  test('is stored before an APDU under it leaves, rises, and goes on where it was after a restart', () => {
    const folder = tempFolder()
    const line = new Line({ folder })
    line.commands.ask(1, request())
    expect(line.carry(1)).toMatchObject({ ok: true })
    const { storedAtSend } = line
    expect(storedAtSend).toEqual([...new Set(storedAtSend)].sort((a, b) => a - b))
    expect(storedAtSend[0]).toBe(0)
    line.commands.ask(2, request())
    line.take(line.next()) // in mid-command
    const before = line.sent()
    const again = new Line({ folder })
    expect(again.sent()).toBe(before)
    again.counter.last = line.counter.last
    again.commands.ask(1, request())
    expect(again.storedAtSend).toEqual([before + 1])
    expect(again.carry(1)).toMatchObject({ ok: true })
  })
})

describe('a key that is nearly used up', () => {
  test('is not used any more', () => {
    const line = new Line()
    const registered = line.ledger.registry.meter(one.systemTitle)!
    line.ledger.commands.store(registered, { sent: 0xffffffff - 0x100000, received: -1 })
    line.commands.ask(1, request())
    expect(line.answers.get(1)).toMatchObject({ fault: { code: 'KEY_EXHAUSTED' } })
  })
})

describe("the meter's counter", () => {
  test('advances with its answers, so that none of them can be taken for a push, and never goes back', () => {
    const line = new Line()
    const registered = line.ledger.registry.meter(one.systemTitle)!
    line.commands.ask(1, request())
    line.take(line.next())
    registered.counter = 1_000_000 // a push came in between
    line.ledger.database.prepare('UPDATE meter SET counter = 1000000 WHERE id = ?').run(registered.id)
    expect(line.carry(1)).toMatchObject({ ok: true })
    expect(registered.counter).toBe(1_000_000)
    const fresh = new Line()
    fresh.commands.ask(1, request())
    fresh.carry(1)
    expect(fresh.ledger.registry.meter(one.systemTitle)!.counter).toBe(fresh.counter.last)
  })
})

describe('a result', () => {
  type Mischief = 'foreign' | 'repeat' | 'unknown'
  const mischief = fc.array(fc.constantFrom<Mischief>('foreign', 'repeat', 'unknown'), { maxLength: 4 })

  test('that is unknown, repeated or of another concentrator has no effect, at any moment of a command', () => {
    fc.assert(
      fc.property(fc.array(mischief, { minLength: 12, maxLength: 12 }), (all) => {
        const line = new Line()
        line.commands.ask(1, request())
        let before: CommandResult | undefined
        for (const acts of all) {
          if (line.published.length === 0) break
          const result = line.next()
          for (const act of acts) {
            const counters = [line.sent(), line.ledger.registry.meter(one.systemTitle)!.counter]
            if (act === 'foreign') expect(line.take(result, other)).toMatch(/command to dc-1/)
            else if (act === 'unknown') expect(line.take({ ...result, commandId: randomBytes(16) })).toBeDefined()
            else if (before !== undefined) expect(line.take(before)).toBeDefined()
            expect([line.sent(), line.ledger.registry.meter(one.systemTitle)!.counter]).toEqual(counters)
          }
          expect(line.take(result)).toBeUndefined()
          before = result
        }
        expect(line.answers.get(1)).toMatchObject({ ok: true })
        expect(line.take(before!)).toMatch(/no command waits/)
      }),
      { numRuns: 15 },
    )
  })

  test('with any octet of it changed ends in a failure or a timeout, and never in another value', () => {
    const line = new Line()
    line.commands.ask(1, request())
    const truth = line.carry(1) as Extract<ReadAnswer, { ok: true }>
    fc.assert(
      fc.property(fc.nat({ max: 6 }), fc.nat(), fc.integer({ min: 1, max: 255 }), (turn, at, what) => {
        const bent = new Line()
        bent.commands.ask(1, request())
        for (let i = 0; bent.published.length > 0; i++) {
          const result = bent.next()
          const apdu = Uint8Array.from(result.apdu)
          if (i === turn) apdu[at % apdu.length]! ^= what
          bent.take({ ...result, apdu })
        }
        const answer = bent.answers.get(1)
        if (answer?.ok === true) expect(answer.objects).toEqual(truth.objects)
      }),
      { numRuns: 40 },
    )
  })
})

describe('a simulated concentrator', () => {
  const downlink = {
    commandId: randomBytes(16),
    expiresAtMs: 1_000,
    meter: one.systemTitle,
    framing: 'wrapper',
  } as const
  const apdu = frameWrapper(Uint8Array.of(0x62, 0), { source: 1, destination: 1 })
  const take = (part: object, nowMs = 500) => {
    const { desk } = new Line()
    return { desk, result: desk.take(encodeDownlink({ ...downlink, apdu, ...part }), nowMs) }
  }

  test('gives its meter what is in time, and answers by status what is not', () => {
    expect(take({}).result?.status).toBe(commandStatus.done)
    expect(take({}, 1_001).result).toEqual({
      commandId: expect.anything(),
      status: commandStatus.expired,
      apdu: new Uint8Array(),
    })
    expect(take({ meter: three.systemTitle }).result?.status).toBe(commandStatus.foreign)
    expect(take({ framing: 'hdlc' }).result?.status).toBe(commandStatus.unsupported)
    expect(take({ apdu: Uint8Array.of(1) }).result?.status).toBe(commandStatus.unsupported)
  })

  test('gives its meter a command that comes twice once', () => {
    const { desk } = take({})
    expect(desk.take(encodeDownlink({ ...downlink, apdu }), 500)).toBeUndefined()
  })

  test('is told the command, its meter and its end', () => {
    const line = new Line()
    const before = Date.now()
    line.commands.ask(1, request({ timeoutMs: 5_000 }))
    const [{ concentrator: to, commandId, octets }] = line.published as [Outgoing]
    const told = decodeDownlink(octets)
    expect(to).toBe(concentrator)
    expect(Buffer.from(told.commandId).toString('hex')).toBe(commandId)
    expect(told).toMatchObject({ meter: one.systemTitle, framing: 'wrapper' })
    expect(told.expiresAtMs - before).toBeGreaterThanOrEqual(5_000)
    expect(told.expiresAtMs - before).toBeLessThan(6_000)
  })
})
