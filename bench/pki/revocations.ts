import type { Revocation } from '#pki/revoke.ts'

/** The entries of both CRLs: serials of 16 octets that differ, every second one with a reason. */
export function* revocations(count: number): Generator<Revocation> {
  const serial = Buffer.alloc(16, 0x40)
  for (let at = 0; at < count; at += 1) {
    serial.writeUInt32BE((at * 2_654_435_761) % 2 ** 32, 12)
    const reason = at % 2 === 0 ? 'keyCompromise' : 'unspecified'
    yield { serial: serial.toString('hex').toUpperCase(), at: 1_780_272_000 + (at % 8_640_000), reason }
  }
}
