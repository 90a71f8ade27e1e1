import { createSecretKey } from 'node:crypto'
import { describe, expect, test } from 'vitest'
import { decodeApdu } from '#gateway/codec/apdu.ts'
import { encodeGeneralGloCiphering, type GeneralGloCiphering } from '#gateway/codec/ciphering.ts'
import type { PeerFault } from '#gateway/errors.ts'
import { parseSystemTitle } from '#gateway/model.ts'
import {
  decipherUnverified,
  gatewayPolicy,
  lenientPolicy,
  type MeterSecurity,
  unprotect,
} from '#gateway/session/unprotect.ts'
import { protect } from '#simulator/protect.ts'

const title = parseSystemTitle('4d4d4d0000bc614e')
const ek = Buffer.from('000102030405060708090a0b0c0d0e0f', 'hex')
const ak = Buffer.from('d0d1d2d3d4d5d6d7d8d9dadbdcdddedf', 'hex')
const security: MeterSecurity = { systemTitle: title, ek: createSecretKey(ek), ak, lastCounter: 0x01234566 }
const plain = Buffer.from('c0010000080000010000ff0200', 'hex')

/** The Green Book's glo-get-request examples, in a general-glo-ciphering: the same keys, counter and plain text. */
const greenBook: Record<string, string> = {
  'authenticated and encrypted': '30 01234567 411312ff935a47566827c467bc 7d825c3be4a77c3fcc056b6b',
  encrypted: '20 01234567 411312ff935a47566827c467bc',
  authenticated: '10 01234567 c0010000080000010000ff0200 06725d910f9221d263877516',
}

function wrapped(hex: string): GeneralGloCiphering {
  const content = Buffer.from(hex.replaceAll(' ', ''), 'hex')
  const header = Buffer.from([0xdb, 8, ...Buffer.from(title, 'hex'), content.length])
  return decodeApdu(Buffer.concat([header, content])) as GeneralGloCiphering
}

const sealed = wrapped(greenBook['authenticated and encrypted']!)

function flipped(octets: Uint8Array, at: number): Uint8Array {
  return octets.map((octet, i) => (i === at ? octet ^ 1 : octet))
}

describe('unprotect', () => {
  test.each(Object.keys(greenBook))('opens the Green Book example: %s', (name) => {
    const opened = unprotect(wrapped(greenBook[name]!), security, lenientPolicy)
    expect(Buffer.from(opened.plain)).toEqual(plain)
    expect(opened.invocationCounter).toBe(0x01234567)
  })

  test('the simulator seals as the Green Book does', () => {
    const frame = protect(plain, { systemTitle: title, ek, ak, invocationCounter: 0x01234567 })
    expect(Buffer.from(frame)).toEqual(Buffer.from(encodeGeneralGloCiphering(sealed)))
  })

  test('every flipped octet of the content is seen', () => {
    for (let at = 0; at < sealed.content.length; at++) {
      const forged = { ...sealed, content: flipped(sealed.content, at) }
      expect(() => unprotect(forged, security, gatewayPolicy)).toThrow(
        expect.objectContaining({ code: 'TAG_UNAUTHENTIC' }),
      )
    }
  })

  test.each<[string, Partial<GeneralGloCiphering>, Partial<MeterSecurity>, PeerFault]>([
    ['compressed', { securityControl: 0xb0 }, {}, 'SECURITY_COMPRESSED'],
    ['under the broadcast key', { securityControl: 0x70 }, {}, 'SECURITY_CONTROL'],
    ['of suite 1', { securityControl: 0x31 }, {}, 'SECURITY_SUITE'],
    ['of no suite there is', { securityControl: 0x3f }, {}, 'SECURITY_SUITE'],
    ['encrypted only', { securityControl: 0x20 }, {}, 'SECURITY_DOWNGRADE'],
    ['authenticated only', { securityControl: 0x10 }, {}, 'SECURITY_DOWNGRADE'],
    ['in clear', { securityControl: 0x00 }, {}, 'SECURITY_DOWNGRADE'],
    ['of another meter', { systemTitle: new Uint8Array(8) }, {}, 'SYSTEM_TITLE_FOREIGN'],
    ['of nobody', { systemTitle: new Uint8Array() }, {}, 'SYSTEM_TITLE_FOREIGN'],
    ['without room for a tag', { content: new Uint8Array(11) }, {}, 'APDU_LENGTH'],
    ['under another key', {}, { ek: createSecretKey(ak) }, 'TAG_UNAUTHENTIC'],
    ['under another authentication key', {}, { ak: ek }, 'TAG_UNAUTHENTIC'],
    ['with a key too long', {}, { ek: createSecretKey(Buffer.alloc(32)) }, 'KEY_MISSING'],
    ['with another counter', { invocationCounter: 0x01234568 }, {}, 'TAG_UNAUTHENTIC'],
    ['with an old counter and a forged tag', { invocationCounter: 1 }, {}, 'TAG_UNAUTHENTIC'],
    ['sent again', {}, { lastCounter: 0x01234567 }, 'COUNTER_REPLAYED'],
    ['older than the last', {}, { lastCounter: 0x7fffffff }, 'COUNTER_REPLAYED'],
  ])('a frame %s is refused', (_, apdu, keys, code) => {
    const attempt = () => unprotect({ ...sealed, ...apdu }, { ...security, ...keys }, gatewayPolicy)
    expect(attempt).toThrow(expect.objectContaining({ name: 'PeerError', code }))
  })

  test('a tag that cannot be checked for want of a key does not hide the contents from who asks for them', () => {
    const { plain: found } = { plain: decipherUnverified(sealed, title, security.ek) }
    expect(Buffer.from(found)).toEqual(plain)
  })
})
