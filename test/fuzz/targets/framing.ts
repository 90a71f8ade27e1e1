import { detectFraming, unframe } from '#gateway/codec/framing.ts'
import { frameHdlc } from '#gateway/codec/hdlc.ts'
import { frameMbus } from '#gateway/codec/mbus.ts'
import type { Unframed } from '#gateway/codec/payload.ts'
import type { Framing } from '#gateway/codec/uplink.ts'
import { frameWrapper } from '#gateway/codec/wrapper.ts'
import type { Mutator } from '../mutate.ts'
import { apdus } from '../seeds.ts'
import { Broken, type Target } from '../target.ts'
import { isPeerFault } from './dlms.ts'

type Frame = (payload: Uint8Array, size: number) => Uint8Array

export const frames: Record<'hdlc' | 'wrapper' | 'mbus', Frame> = {
  hdlc: (payload, size) =>
    frameHdlc(payload, { destination: Uint8Array.of(3), source: Uint8Array.of(2, 0x23), control: 0x13 }, size),
  wrapper: (payload) => frameWrapper(payload, { source: 1, destination: 16 }),
  mbus: (payload, size) => frameMbus(payload, { control: 0x53, address: 0xff, source: 1, destination: 0x67 }, size),
}

/** Payloads lie within the octets they came from, and faults too; there is not more of them than octets. */
function check({ payloads, faults, frames: held }: Unframed, { length }: Uint8Array): string {
  const sum = payloads.reduce((octets, payload) => octets + payload.octets.length, 0)
  if (sum > length || held > length || faults.length > length) throw new Broken('more came out than went in')
  const offsets = [...payloads, ...faults].map(({ offset }) => offset ?? -1)
  if (!offsets.every((offset) => offset >= 0 && offset <= length)) throw new Broken('an offset outside the octets')
  return `${Math.min(payloads.length, 3)} payloads, ${faults[0]?.code}`
}

function framingTarget(name: 'hdlc' | 'wrapper' | 'mbus'): Target {
  const frame = frames[name]
  return {
    name,
    octetsMax: 4_096,
    seeds: () => apdus.slice(0, 8).flatMap((apdu) => [frame(apdu, 200), frame(apdu, 20)]),
    run: (octets) => check(unframe(octets, name), octets),
    isFault: isPeerFault,
    structured: (octets, mutator) => reframed(frame, octets, mutator),
  }
}

/** The checksums of a changed payload are right; behind it goes on what there was. */
function reframed(frame: Frame, octets: Uint8Array, mutator: Mutator): Uint8Array {
  const payload = mutator.octets(mutator.one(apdus))
  const framed = frame(payload, 10 + mutator.pick(200))
  return mutator.one([framed, Buffer.concat([framed, octets]), Buffer.concat([octets, framed])])
}

export const hdlcTarget: Target = framingTarget('hdlc')
export const wrapperTarget: Target = framingTarget('wrapper')
export const mbusTarget: Target = framingTarget('mbus')

export const autoTarget: Target = {
  name: 'auto',
  octetsMax: 4_096,
  seeds: () => [...apdus.slice(0, 4), ...Object.values(frames).flatMap((frame) => [frame(apdus[0]!, 60)])],
  run: (octets) => {
    const framing: Framing = detectFraming(octets)
    return `${framing} ${check(unframe(octets, framing), octets)}`
  },
  isFault: isPeerFault,
  structured: (octets, mutator) => reframed(mutator.one(Object.values(frames)), octets, mutator),
}
