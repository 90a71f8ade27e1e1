import { expect, test } from 'vitest'
import { postgresError } from '#mdm/sinks/postgres-fault.ts'
import { SinkError } from '#mdm/sinks/sink.ts'

const said = (message: string, code?: string): Error => Object.assign(new Error(message), code && { code })

test.for([
  ['SINK_FULL', said('could not extend file', '53100')],
  ['SINK_TIMEOUT', said('canceling statement due to statement timeout', '57014')],
  ['SINK_TIMEOUT', said('Query read timeout')],
  ['SINK_UNREACHABLE', said('the database system is starting up', '57P03')],
  ['SINK_UNREACHABLE', said('Connection terminated unexpectedly')],
  ['SINK_UNREACHABLE', said('timeout expired')],
  ['SINK_REFUSED', said('permission denied for table readings', '42501')],
  ['SINK_REFUSED', said('cannot execute INSERT in a read-only transaction', '25006')],
  ['SINK_SCHEMA', said('column "value" does not exist', '42703')],
  ['SINK_UNTRUSTED', said('certificate has expired', 'CERT_HAS_EXPIRED')],
  ['SINK_UNTRUSTED', said('The server does not support SSL connections')],
  ['SINK_FAILED', said('could not serialize access', '40001')],
  ['SINK_FAILED', said('whatever')],
] as const)('%s: %s', ([code, error]) => {
  expect(postgresError(error)).toMatchObject({ code, message: expect.stringContaining(error.message) })
})

test('what has a code already keeps it, and a detail that quotes a row is left out', () => {
  const ours = new SinkError('SINK_CONFLICT', 'another batch')
  expect(postgresError(ours)).toBe(ours)
  const quoting = Object.assign(said('duplicate key', '23505'), { detail: 'Key (meter)=(414d49) already exists.' })
  expect(JSON.stringify(postgresError(quoting), ['message', 'code', 'cause'])).not.toContain('414d49')
})
