import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { answerTo } from '#gateway/errors.ts'
import { concentratorId } from '#gateway/model.ts'
import { admitConnect, admitPublish, admitSubscribe, commandTopic, uplinkTopic } from '#gateway/session/rules.ts'
import { certificateFault, concentratorOf } from '#gateway/session/trust.ts'

const own = concentratorId('dc-1')
const code = (text: string): object => expect.objectContaining({ code: text })

describe('what a session may do', () => {
  test('it is known by its certificate and clean, whatever its CONNECT says', () => {
    expect(admitConnect(own, {})).toEqual({ clientId: 'dc-1', clean: true })
    expect(admitConnect(own, { will: null })).toEqual({ clientId: 'dc-1', clean: true })
    expect(() => admitConnect(own, { will: { topic: 'x' } })).toThrow(code('WILL_REFUSED'))
  })

  test('it publishes on its own uplink topic at QoS 1, not retained, and nowhere else', () => {
    const good = { topic: 'ami/v1/dc-1/up', qos: 1, retain: false }
    expect(() => admitPublish(own, good)).not.toThrow()
    for (const topic of ['ami/v1/dc-2/up', 'ami/v1/dc-1/down', 'ami/v1/dc-1/up/', 'ami/v1/+/up', '$SYS/x', '', '#']) {
      expect(() => admitPublish(own, { ...good, topic })).toThrow(code('TOPIC_FOREIGN'))
    }
    for (const qos of [0, 2]) expect(() => admitPublish(own, { ...good, qos })).toThrow(code('QOS_REFUSED'))
    expect(() => admitPublish(own, { ...good, retain: true })).toThrow(code('RETAIN_REFUSED'))
  })

  test('it subscribes to its own command topic and to no pattern', () => {
    expect(() => admitSubscribe(own, 'ami/v1/dc-1/down')).not.toThrow()
    for (const topic of [
      'ami/v1/dc-2/down',
      'ami/v1/+/down',
      'ami/#',
      '#',
      'ami/v1/dc-1/up',
      '$share/g/ami/v1/dc-1/down',
    ]) {
      expect(() => admitSubscribe(own, topic)).toThrow(code('TOPIC_FOREIGN'))
    }
  })

  test('no identity makes a topic of another, or a pattern', () => {
    const id = fc.stringMatching(/^[A-Za-z0-9._-]{1,64}$/).map(concentratorId)
    fc.assert(
      fc.property(id, id, (one, other) => {
        expect(uplinkTopic(one)).not.toMatch(/[+#]/)
        expect(uplinkTopic(one).split('/')).toHaveLength(4)
        expect(uplinkTopic(one) === uplinkTopic(other)).toBe(one === other)
        expect(uplinkTopic(one)).not.toBe(commandTopic(other))
      }),
    )
    for (const bad of ['', 'a/b', 'a+', '#', 'a b', 'é', 'x'.repeat(65)]) expect(() => concentratorId(bad)).toThrow()
  })
})

describe('whose certificate it is', () => {
  const of = (subjectAltName: string | undefined): string => concentratorOf({ subjectAltName })

  test('its one name says', () => {
    expect(of('URI:urn:ami:concentrator:dc-1')).toBe('dc-1')
  })

  test.for([
    undefined,
    '',
    'URI:urn:ami:sealer:gw-1',
    'URI:urn:ami:concentrator:',
    'URI:urn:ami:concentrator:dc-1, URI:urn:ami:concentrator:dc-2',
    'DNS:localhost, URI:urn:ami:concentrator:dc-1',
    'URI:urn:ami:concentrator:dc-1, DNS:x',
    'DNS:URI:urn:ami:concentrator:dc-1',
    'URI:urn:ami:concentrator:dc/1',
    'URI:urn:ami:concentrator:dc-1\n',
    `URI:urn:ami:concentrator:${'x'.repeat(65)}`,
    'URI:"urn:ami:concentrator:dc-1"',
  ])('%j says nothing', (names) => {
    expect(() => of(names)).toThrow(code('CERTIFICATE_ROLE'))
  })

  test('every verdict of TLS has a code, and each ends the session', () => {
    const verdicts = [
      'CERT_HAS_EXPIRED',
      'CERT_NOT_YET_VALID',
      'CERT_REVOKED',
      'INVALID_PURPOSE',
      'SELF_SIGNED_CERT_IN_CHAIN',
      '',
    ]
    expect(verdicts.map(certificateFault)).toEqual([
      'CERTIFICATE_EXPIRED',
      'CERTIFICATE_EXPIRED',
      'CERTIFICATE_REVOKED',
      'CERTIFICATE_ROLE',
      'CERTIFICATE_UNTRUSTED',
      'CERTIFICATE_UNTRUSTED',
    ])
    expect(verdicts.map((verdict) => answerTo[certificateFault(verdict)])).toEqual(Array(6).fill('close'))
  })
})
