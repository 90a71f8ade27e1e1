import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { type Decision, type Device, decide, type Given, type Presented } from '#pki/enrolment/decide.ts'
import { drawQuestions, serveQueue } from '#pki/enrolment/link.ts'
import { parseManifest } from '#pki/enrolment/manifest.ts'
import { RequestQueue } from '#pki/enrolment/queue.ts'
import { EnrolmentRegister } from '#pki/enrolment/register.ts'

const now = 1_800_000_000
const given = (serial: string, over: Partial<Given> = {}): Given => ({
  serial,
  key: `key of ${serial}`,
  parent: undefined,
  notAfter: now + 1_000,
  revoked: false,
  ...over,
})
const device = (...certificates: Given[]): Device => ({
  concentrator: 'dc-1',
  quarantined: undefined,
  given: certificates,
})
const maker: Presented = { kind: 'manufacturer' }
const ours = (serial: string): Presented => ({ kind: 'operational', serial })

describe('a device', () => {
  test('that was never seen enrols with its manufacturer certificate', () => {
    expect(decide(device(), maker, 'new', now)).toEqual({ kind: 'issue', parent: undefined, supersede: [] })
  })

  test('whose answer was lost asks again and gets the same', () => {
    expect(decide(device(given('A')), maker, 'key of A', now)).toEqual({ kind: 'again', serial: 'A', supersede: [] })
    const renewed = device(given('A'), given('B', { parent: 'A' }))
    expect(decide(renewed, ours('A'), 'key of B', now)).toEqual({ kind: 'again', serial: 'B', supersede: [] })
  })

  test('asking again after a crash has its superseded certificate revoked, and the superseded one gets nothing', () => {
    const crashed = device(given('A'), given('B', { parent: 'A' }), given('C', { parent: 'A' }))
    expect(decide(crashed, ours('A'), 'key of C', now)).toEqual({ kind: 'again', serial: 'C', supersede: ['B'] })
    expect(decide(crashed, ours('A'), 'key of B', now)).toMatchObject({ code: 'ENROLMENT_KEY' })
  })

  test('that comes with another key while one is live is a clone: both stop', () => {
    expect(decide(device(given('A'), given('B', { parent: 'A' })), maker, 'new', now)).toMatchObject({
      kind: 'quarantine',
      code: 'ENROLMENT_CLONE',
      revoke: ['A', 'B'],
    })
  })

  test('whose certificates are expired or revoked enrols again', () => {
    const over = device(given('A', { notAfter: now - 1 }), given('B', { revoked: true }))
    expect(decide(over, maker, 'new', now)).toEqual({ kind: 'issue', parent: undefined, supersede: [] })
  })

  test('renews with its live certificate; a renewal asked for again takes the place of an unused one', () => {
    expect(decide(device(given('A')), ours('A'), 'new', now)).toEqual({ kind: 'issue', parent: 'A', supersede: [] })
    expect(decide(device(given('A'), given('B', { parent: 'A' })), ours('A'), 'new', now)).toEqual({
      kind: 'issue',
      parent: 'A',
      supersede: ['B'],
    })
  })

  test('renewing from a certificate whose successor has renewed is a clone', () => {
    const forked = device(given('A'), given('B', { parent: 'A' }), given('C', { parent: 'B' }))
    expect(decide(forked, ours('A'), 'new', now)).toMatchObject({ kind: 'quarantine', revoke: ['A', 'B', 'C'] })
    expect(decide(forked, ours('C'), 'new', now)).toMatchObject({ kind: 'issue', parent: 'C' })
  })

  test.each([
    ['expired', given('A', { notAfter: now - 1 })],
    ['revoked', given('A', { revoked: true })],
  ])('does not renew from a certificate that is %s', (_, one) => {
    expect(decide(device(one), ours('A'), 'new', now)).toMatchObject({ code: 'ENROLMENT_CERTIFICATE' })
  })

  test('does not renew with a certificate of another', () => {
    expect(decide(device(given('A')), ours('X'), 'new', now)).toMatchObject({ code: 'ENROLMENT_CERTIFICATE' })
  })

  test('may not bring a key that was certified before', () => {
    const renewed = device(given('A'), given('B', { parent: 'A' }))
    for (const from of [ours('B'), maker])
      expect(decide(renewed, from, 'key of B', now)).toMatchObject({ kind: 'refuse', code: 'ENROLMENT_KEY' })
    expect(decide(device(given('A', { revoked: true })), maker, 'key of A', now)).toMatchObject({
      code: 'ENROLMENT_KEY',
    })
  })

  test('in quarantine gets nothing', () => {
    const held = { ...device(given('A')), quarantined: 'clone' }
    expect(decide(held, maker, 'key of A', now)).toMatchObject({ code: 'ENROLMENT_QUARANTINED' })
  })
})

/** A device and its copies play against a CA: whatever they ask, in whatever order. */
test('whatever is asked in whatever order, at most a line of two live certificates exists, and a clone ends in quarantine', () => {
  const asked = fc.record({
    /** which of the certificates given so far is presented; none: the manufacturer's */
    with: fc.option(fc.nat(5), { nil: undefined }),
    /** which key: one used before, or a new one */
    key: fc.nat(9),
    /** seconds that pass before */
    after: fc.nat(400),
  })
  fc.assert(
    fc.property(fc.array(asked, { maxLength: 25 }), (questions) => {
      const state: { quarantined: string | undefined; given: Given[] } = { quarantined: undefined, given: [] }
      let at = now
      for (const [i, { with: which, key, after }] of questions.entries()) {
        at += after
        const holder = which === undefined ? undefined : state.given[which]
        const presented = holder === undefined ? maker : ours(holder.serial)
        apply(state, decide({ concentrator: 'dc-1', ...state }, presented, `key ${key}`, at), {
          serial: `S${i}`,
          key: `key ${key}`,
          at,
        })
        const live = state.given.filter((one) => !one.revoked && one.notAfter >= at)
        expect(new Set(state.given.map((one) => one.key)).size).toBe(state.given.length)
        for (const one of live) {
          expect(live.filter((other) => other.parent === one.serial).length).toBeLessThanOrEqual(1)
        }
        expect(live.filter(({ parent }) => !live.some(({ serial }) => serial === parent)).length).toBeLessThanOrEqual(1)
        if (state.quarantined !== undefined) expect(live).toEqual([])
      }
    }),
    { numRuns: 2_000 },
  )
})

function apply(
  state: { quarantined: string | undefined; given: Given[] },
  decision: Decision,
  { serial, key, at }: { serial: string; key: string; at: number },
): void {
  const revoke = (serials: string[]): void => {
    state.given = state.given.map((one) => (serials.includes(one.serial) ? { ...one, revoked: true } : one))
  }
  if (decision.kind === 'quarantine') {
    state.quarantined = decision.detail
    revoke(decision.revoke)
  }
  if (decision.kind !== 'issue') return
  revoke(decision.supersede)
  state.given.push({ serial, key, parent: decision.parent, notAfter: at + 1_000, revoked: false })
}

describe('a manifest', () => {
  const header = 'manufacturer,serial,concentrator\n'

  test('is a line a device', () => {
    expect(parseManifest(`${header}acme,SN-1,dc-1\r\nacme,SN-2,dc-2\n`)).toEqual([
      { manufacturer: 'acme', serial: 'SN-1', concentrator: 'dc-1' },
      { manufacturer: 'acme', serial: 'SN-2', concentrator: 'dc-2' },
    ])
  })

  test.each([
    ['', 'line 1 is not'],
    [`${header}acme,SN-1\n`, 'line 2 has not three fields'],
    [`${header}acme,SN-1,dc-1,x\n`, 'line 2 has not three fields'],
    [`${header}a b,SN-1,dc-1\n`, 'line 2 names no manufacturer'],
    [`${header}acme,S N,dc-1\n`, 'line 2 has no serial'],
    [`${header}acme,SN-1,dc/1\n`, 'line 2 names no concentrator'],
    [`${header}acme,SN-1,dc-1\nacme,SN-1,dc-2\n`, 'line 3 repeats a device'],
    [`${header}acme,SN-1,dc-1\nacme,SN-2,dc-1\n`, 'line 3 repeats a concentrator'],
    [header + 'x\n'.repeat(30), 'and 10 more'],
  ])('%j is refused: %s', (text, why) => {
    expect(() => parseManifest(text)).toThrow(
      expect.objectContaining({ code: 'MANIFEST_INVALID', message: expect.stringContaining(why) }),
    )
  })
})

describe('the register', () => {
  const folder = mkdtempSync(join(tmpdir(), 'ami-register-'))
  const register = new EnrolmentRegister(join(folder, 'enrolment.sqlite'))
  const one = { manufacturer: 'acme', serial: 'SN-1', concentrator: 'dc-1' }
  const two = { manufacturer: 'acme', serial: 'SN-2', concentrator: 'dc-2' }
  const certified = (key: string) => (key === 'k1' ? { serial: 'A', notAfter: now, revoked: false } : undefined)

  test('takes a manifest once, the same again without harm, and nothing of one that contradicts', () => {
    expect(register.import([one])).toBe(1)
    expect(register.import([one, two])).toBe(1)
    const three = { manufacturer: 'acme', serial: 'SN-3', concentrator: 'dc-3' }
    const taken = { manufacturer: 'acme', serial: 'SN-4', concentrator: 'dc-1' }
    for (const conflict of [taken, { ...one, concentrator: 'dc-9' }]) {
      expect(() => register.import([three, conflict])).toThrow(expect.objectContaining({ code: 'MANIFEST_CONFLICT' }))
    }
    expect(register.list().map(({ concentrator }) => concentrator)).toEqual(['dc-1', 'dc-2'])
  })

  test('knows of a promise only what became a certificate', () => {
    register.promise([
      { key: 'k1', concentrator: 'dc-1', parent: undefined },
      { key: 'k2', concentrator: 'dc-1', parent: 'A' },
    ])
    expect(register.device(one, certified)?.given).toEqual([
      { serial: 'A', notAfter: now, revoked: false, key: 'k1', parent: undefined },
    ])
    expect(register.device({ manufacturer: 'other', serial: 'SN-1' }, certified)).toBeUndefined()
  })

  test('keeps the first reason of a quarantine until it is released', () => {
    register.quarantine('dc-1', 'first')
    register.quarantine('dc-1', 'second')
    expect(register.concentrator('dc-1', certified)?.quarantined).toBe('first')
    expect(register.quarantined()).toEqual(['dc-1'])
    expect([register.release('dc-1'), register.release('dc-1')]).toEqual([true, false])
    register.close()
    rmSync(folder, { recursive: true })
  })
})

describe('the queue', () => {
  const question = (text: string) => ({ chain: [Buffer.from('chain')], request: Buffer.from(text) })
  const refused = { kind: 'refused', code: 'X', detail: 'y' } as const

  test('holds no more than it may, and the same question once', async () => {
    const queue = new RequestQueue({ waitingMax: 1, waitMsMax: 100 })
    const first = queue.ask(question('a'), 0)
    expect(queue.ask(question('a'), 1)).toBe(first)
    expect(queue.ask(question('b'), 1)).toBeUndefined()
    const [taken] = queue.take(10)
    expect(queue.take(10)).toEqual([])
    expect([queue.answer(taken!.id, refused), queue.answer(taken!.id, refused)]).toEqual([true, false])
    expect(await first).toEqual(refused)
    expect(queue.size).toBe(0)
  })

  test('gives up what waits too long, and gives again what a CA left', async () => {
    const queue = new RequestQueue({ waitingMax: 9, waitMsMax: 100 })
    const asked = queue.ask(question('a'), 0)
    expect(queue.take(1)).toHaveLength(1)
    queue.putBack()
    expect(queue.take(1)).toHaveLength(1)
    queue.expire(99)
    expect(queue.size).toBe(1)
    queue.expire(100)
    expect(await asked).toBeUndefined()
  })

  test('is served on a path that a killed listener left, and on no file of another kind', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'ami-queue-'))
    const queue = new RequestQueue({ waitingMax: 9, waitMsMax: 100 })
    const path = join(folder, 'ca.sock')
    const left = await serveQueue(queue, path)
    await (await serveQueue(queue, path)).close()
    await left.close()
    writeFileSync(join(folder, 'precious'), 'kept')
    await expect(serveQueue(queue, join(folder, 'precious'))).rejects.toMatchObject({ code: 'EADDRINUSE' })
    expect(readFileSync(join(folder, 'precious'), 'utf8')).toBe('kept')
    rmSync(folder, { recursive: true })
  })

  test('is drawn over a socket by one CA, and goes on after the CA came back', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'ami-queue-'))
    const path = join(folder, 'ca.sock')
    const queue = new RequestQueue({ waitingMax: 999, waitMsMax: 60_000 })
    const server = await serveQueue(queue, path)
    const texts = Array.from({ length: 50 }, (_, i) => `request ${i}`)
    const ca = () =>
      drawQuestions(path, {
        together: 7,
        answer: async (bunch) =>
          bunch.map(({ request }) => ({ kind: 'refused', code: 'SEEN', detail: String(request) })),
      })
    for (let round = 0; round < 2; round++) {
      const drawing = ca()
      const answers = await Promise.all(texts.map((text) => queue.ask(question(`${text} of ${round}`), 0)!))
      expect(answers).toEqual(texts.map((text) => ({ kind: 'refused', code: 'SEEN', detail: `${text} of ${round}` })))
      await drawing.close()
    }
    await server.close()
    rmSync(folder, { recursive: true })
  })
})
