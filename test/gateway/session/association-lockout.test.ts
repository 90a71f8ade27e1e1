import { describe, expect, test } from 'vitest'
import {
  type Attempts,
  afterFailure,
  checkHeld,
  defaultLockout,
  noAttempts,
} from '#gateway/session/association-lockout.ts'
import { ciphered, faultsOf, fresh, mechanisms, noObjects, Pair } from './association-pair.ts'

const low = mechanisms[1]!
const wrong = { mechanism: 'low', password: Buffer.from('guess') } as const
const config = { authentication: low.server, pduOctets: 200, objects: noObjects }

/** A client that guesses at a time, against what a server has counted. */
function attempt(attempts: Attempts, now: number, authentication: typeof low.client = wrong): Pair {
  const pair = new Pair({ authentication, receivePduOctetsMax: 200 }, config)
  pair.attempts = attempts
  pair.now = now
  return pair.open()
}

describe('authentications that fail', () => {
  test('three are taken at once, then each hold is twice as long as the last, up to an hour', () => {
    let attempts = noAttempts
    const holds: number[] = []
    for (let now = 0; holds.length < 14; now = Math.max(now, attempts.heldUntil)) {
      attempts = afterFailure(attempts, defaultLockout, now)
      holds.push(Math.max(0, attempts.heldUntil - now))
    }
    expect(holds).toEqual([0, 0, 10, 20, 40, 80, 160, 320, 640, 1_280, 2_560, 3_600, 3_600, 3_600])
  })

  test('a hold ends at its second and no earlier', () => {
    const attempts = { failed: 3, heldUntil: 10 }
    expect(() => checkHeld(attempts, 9.9)).toThrow(expect.objectContaining({ code: 'AUTHENTICATION_LOCKED' }))
    expect(() => checkHeld(attempts, 10)).not.toThrow()
  })

  test('are counted over all sessions of a server, and then not even the right password is compared', () => {
    let { attempts } = attempt(noAttempts, 0)
    attempts = attempt(attempts, 1).attempts
    attempts = attempt(attempts, 2).attempts
    expect(attempts).toEqual({ failed: 3, heldUntil: 12 })
    const held = attempt(attempts, 11, low.client)
    expect(faultsOf(held.serverEffects)).toEqual(['AUTHENTICATION_LOCKED'])
    expect(held.attempts).toEqual(attempts) // a hold is no failure: it would never end
    expect(held.server.at).toBe('idle')
  })

  test('are told to be transient while they are held, and with the same words as a wrong password', () => {
    const held = attempt({ failed: 3, heldUntil: 12 }, 0)
    expect(held.clientEffects.at(-2)).toMatchObject({ fault: { message: 'result 2, user diagnostic 13' } })
    const failed = attempt(noAttempts, 0)
    expect(failed.clientEffects.at(-2)).toMatchObject({ fault: { message: 'result 1, user diagnostic 13' } })
  })

  test('are forgotten with one that succeeds after the hold', () => {
    const pair = attempt({ failed: 3, heldUntil: 12 }, 12, low.client)
    expect([pair.server.at, pair.attempts]).toEqual(['associated', noAttempts])
  })

  test('do not keep a client out that needs no authentication', () => {
    const pair = new Pair(
      { authentication: { mechanism: 'lowest' }, receivePduOctetsMax: 200 },
      { ...config, authentication: { mechanism: 'lowest' } },
    )
    pair.attempts = { failed: 9, heldUntil: 99 }
    expect(pair.open().server.at).toBe('associated')
    expect(pair.attempts.failed).toBe(9)
  })

  test('a challenge given before the hold does not get round it', () => {
    const { client, server } = mechanisms[2]!
    const heard = new Pair(
      { authentication: client, receivePduOctetsMax: 200 },
      { ...config, authentication: server },
    ).open()
    const sent = heard.wire.filter(({ from }) => from === 'client').map(({ octets }) => octets)
    const pair = new Pair({ authentication: client, receivePduOctetsMax: 200 }, { ...config, authentication: server })
    pair.told(sent[0]!)
    pair.attempts = { failed: 3, heldUntil: 12 }
    const { effects } = pair.told(sent[1]!)
    expect([pair.server.at, faultsOf(effects), pair.counters]).toEqual(['idle', ['AUTHENTICATION_LOCKED'], fresh])
    expect(pair.attempts.failed).toBe(3)
  })

  test('a forged ciphered AARQ is refused but not counted: nobody can be kept out with noise', () => {
    const ends = ciphered(0)
    const pair = new Pair(
      { authentication: low.client, ciphering: { ...ends.client, ak: new Uint8Array(16) }, receivePduOctetsMax: 200 },
      { ...config, ciphering: ends.server },
    ).open()
    expect([faultsOf(pair.serverEffects), pair.attempts]).toEqual([['TAG_UNAUTHENTIC'], noAttempts])
  })

  test('a rule of one’s own is kept', () => {
    const lockout = { failedMax: 1, holdSeconds: 60, holdSecondsMax: 60 }
    const pair = new Pair({ authentication: wrong, receivePduOctetsMax: 200 }, { ...config, lockout }).open()
    expect(pair.attempts).toEqual({ failed: 1, heldUntil: 60 })
  })
})
