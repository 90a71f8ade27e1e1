import { pino } from 'pino'
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { Refusals } from '#gateway/io/refusals.ts'

beforeEach(() => void vi.useFakeTimers({ toFake: ['performance'] }))
afterEach(() => void vi.useRealTimers())

describe('refused peers', () => {
  test('are counted exactly, however many; the log has twenty a second of each code and says how many more', () => {
    const lines: { event: string; code: string; left?: number }[] = []
    const refusals = new Refusals(pino({}, { write: (line: string) => void lines.push(JSON.parse(line)) }))
    const storm = (code: 'TLS_FAILED' | 'SESSION_LIMIT', times: number): void => {
      for (let i = 0; i < times; i++) refusals.note({ code, message: 'x' }, {})
    }
    storm('TLS_FAILED', 1_000)
    storm('SESSION_LIMIT', 3)
    vi.advanceTimersByTime(1_000)
    storm('TLS_FAILED', 1)
    expect(refusals.counts()).toEqual({ TLS_FAILED: 1_001, SESSION_LIMIT: 3 })
    const of = (event: string, code: string) => lines.filter((line) => line.event === event && line.code === code)
    expect(of('peer.refused', 'TLS_FAILED')).toHaveLength(21)
    expect(of('peer.refused', 'SESSION_LIMIT')).toHaveLength(3)
    expect(of('peer.refused.more', 'TLS_FAILED')).toMatchObject([{ left: 980 }])
  })
})
