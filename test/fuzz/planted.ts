import { PeerError } from '#gateway/errors.ts'
import { Broken, type Target } from './target.ts'

/** A decoder with faults planted behind checks that random octets do not pass: what a fuzzer must find to be believed. */
export const planted: Target = {
  name: 'planted',
  octetsMax: 64,
  seeds: () => [Uint8Array.of(0, 0, 0, 0)],
  isFault: (thrown) => thrown instanceof PeerError,
  run: (octets) => {
    const [tag, length, third, fourth] = octets
    if (tag !== 0xdb) throw new PeerError('DATA_VALUE', 'refused') // in the same words as below: blocks alone tell
    if (length !== 0x77) throw new PeerError('DATA_VALUE', 'refused')
    if (third === 0x4a) return fault(fourth ?? 0)
    throw new PeerError('DATA_VALUE', 'refused')
  },
}

function fault(octet: number): string {
  if (octet === 0x80) throw new TypeError('planted: an exception that is no fault')
  if (octet === 0x81) throw new Broken('planted: a property')
  return 'deep'
}
