import fastify, { type FastifyInstance, type FastifyReply, type FastifyRequest } from 'fastify'
import type { Logger } from 'pino'
import { releaseRule, type SubstationId } from '#gateway/model.ts'
import type { Substation } from './census.ts'
import { csvName, csvOf, demandAnswer, isoTime } from './demand.ts'
import { answerBadUrl, guard } from './guard.ts'
import { limits } from './limits.ts'
import { createListener, type ListenerOptions, refuseMalformed } from './listener.ts'
import { addPage } from './page.ts'
import { type DemandQuery, parseDemand, parseSubstation, preferredFormat } from './query.ts'
import { Admission } from './rate.ts'
import { Refusal } from './refusal.ts'
import { type Span, spanOfDay } from './span.ts'
import type { ReleasedStore } from './store.ts'
import { sendTagged } from './tagged.ts'

export interface ApiOptions extends ListenerOptions {
  store: ReleasedStore
  /** requests of all clients together that may pass in any one second */
  requestsPerSecondMax: number
  /** host names that a request may ask for, lower case, without port */
  names: readonly string[]
  log: Logger
  /** seconds, never going back */
  now: () => number
}

/** The studies service, not yet listening. Every error is `{ error: { code, message } }`, codes as in `refusal.ts`. */
export function createApi({ store, credentials, names, log, now, ...max }: ApiOptions): FastifyInstance {
  const admission = new Admission(max.requestsPerSecondMax)
  const admit = (address: string): number => admission.take(address, now())
  const app = fastify({
    serverFactory: (handler) => createListener(handler, { credentials, connectionsMax: max.connectionsMax }),
    clientErrorHandler: refuseMalformed,
    bodyLimit: limits.bodyOctetsMax,
    forceCloseConnections: true,
    ajv: { customOptions: { coerceTypes: false, removeAdditional: false } },
    frameworkErrors: (error, request, reply) =>
      answerBadUrl(error, admit(request.ip), reply as unknown as FastifyReply),
  })
  guard(app, { names, log, admit, tls: credentials !== undefined })
  addPage(app)
  addHealth(app, store)
  addSubstations(app, store)
  addDays(app, store)
  addDemand(app, store)
  return app
}

/** A query of these keys, each at most once; what they say is parsed by `query.ts`. */
function querySchema(...keys: string[]): { querystring: object } {
  const properties = Object.fromEntries(keys.map((key) => [key, { type: 'string', maxLength: 64 }]))
  return { querystring: { type: 'object', properties, additionalProperties: false } }
}

function sendJson(request: FastifyRequest, reply: FastifyReply, body: object): FastifyReply {
  return sendTagged(request, reply, { type: 'application/json; charset=utf-8', text: JSON.stringify(body) })
}

function addHealth(app: FastifyInstance, store: ReleasedStore): void {
  app.get('/v1/health', { schema: querySchema() }, (_request, reply) =>
    reply.header('cache-control', 'no-store').send({ status: 'ok', released: store.available() ? 'open' : 'absent' }),
  )
}

function addSubstations(app: FastifyInstance, store: ReleasedStore): void {
  app.get('/v1/substations', { schema: querySchema() }, (request, reply) =>
    sendJson(request, reply, { rule: releaseRule, substations: store.substations().map(substationAnswer) }),
  )
}

function substationAnswer({ firstEnd, lastEnd, ...rest }: Substation): object {
  const time = (seconds: number | undefined): string | null => (seconds === undefined ? null : isoTime(seconds))
  return { ...rest, firstEnd: time(firstEnd), lastEnd: time(lastEnd) }
}

function addDays(app: FastifyInstance, store: ReleasedStore): void {
  app.get<{ Querystring: DemandQuery }>('/v1/days', { schema: querySchema('substation') }, (request, reply) => {
    const substation = parseSubstation(request.query.substation)
    refuseUnknown(store, substation)
    const days = store.closedDays(substation).map(({ day, closedAt }) => ({ day, closedAt: isoTime(closedAt) }))
    return sendJson(request, reply, { substation, days })
  })
}

const demandKeys = ['substation', 'from', 'to', 'quantity', 'format']

function addDemand(app: FastifyInstance, store: ReleasedStore): void {
  app.get<{ Querystring: DemandQuery }>('/v1/demand', { schema: querySchema(...demandKeys) }, (request, reply) => {
    const demand = parseDemand(request.query)
    refuseUnknown(store, demand.substation)
    const span = demand.span ?? latestDay(store, demand.substation)
    const cells = span === undefined ? [] : store.cells(demand.substation, demand.quantity, span)
    const answer = demandAnswer(demand, span, cells)
    reply.header('vary', 'accept')
    if ((demand.format ?? preferredFormat(request.headers.accept)) === 'json') return sendJson(request, reply, answer)
    reply.header('content-disposition', `attachment; filename="${csvName(answer)}"`)
    return sendTagged(request, reply, { type: 'text/csv; charset=utf-8; header=present', text: csvOf(answer) })
  })
}

function refuseUnknown(store: ReleasedStore, substation: SubstationId): void {
  if (!store.knows(substation)) throw new Refusal('SUBSTATION_UNKNOWN', `no released day of substation ${substation}`)
}

function latestDay(store: ReleasedStore, substation: SubstationId): Span | undefined {
  const day = store.latestDay(substation)
  return day === undefined ? undefined : spanOfDay(day)
}
