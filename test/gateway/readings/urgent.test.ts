import { expect, test } from 'vitest'
import { parseObis } from '#gateway/codec/obis.ts'
import { isUrgent } from '#gateway/readings/urgent.ts'

const push = Uint8Array.of(0x0f)

test.for([
  ['an alarm register', '0-0:97.98.0', true],
  ['an alarm descriptor of another channel', '0-3:97.98.20', true],
  ['an error register', '0-0:97.97.0', true],
  ['energy', '1-0:1.8.0', false],
  ['a neighbour of the alarms', '0-0:97.99.0', false],
  ['an electricity object with the same numbers', '1-0:97.98.0', false],
] as const)('%s: %s, urgent %s', ([, obis, urgent]) => {
  expect(isUrgent(push, parseObis(obis))).toBe(urgent)
  expect(isUrgent(Uint8Array.of(0xc2), parseObis(obis))).toBe(true) // as an event-notification
})
