import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { Counter, Gauge, Registry } from 'prom-client'
import { ConfigError } from '../errors.ts'
import type { Metric, Metrics } from '../metrics.ts'

/**
 * Where a Prometheus asks: `GET /metrics` over plain HTTP, and nothing else. Counts leave by it and no secret does, but
 * whoever may connect learns how much goes on: it listens on loopback unless told otherwise.
 */
export interface MetricsOptions {
  host: string
  port: number
  /** asked at each scrape */
  metrics: () => Metrics
  limits?: Partial<MetricsLimits>
}

export interface MetricsLimits {
  /** at a time: one Prometheus has one or two. The next is closed at once */
  connectionsMax: number
  /** of a request's head; beyond, it gets 431 */
  headOctetsMax: number
  /** for a request to arrive, and for a connection to say nothing or to take nothing */
  deadlineMs: number
  requestsPerConnectionMax: number
}

export const metricsLimits: MetricsLimits = {
  connectionsMax: 8,
  headOctetsMax: 8_192,
  deadlineMs: 5_000,
  requestsPerConnectionMax: 1_000,
}

export interface MetricsListener {
  readonly port: number
  close(): Promise<void>
}

/** @throws ConfigError when the address or port cannot be had */
export async function openMetrics({ host, port, metrics, limits }: MetricsOptions): Promise<MetricsListener> {
  const { connectionsMax, headOctetsMax, deadlineMs, requestsPerConnectionMax } = { ...metricsLimits, ...limits }
  const server = createServer(
    {
      maxHeaderSize: headOctetsMax,
      headersTimeout: deadlineMs,
      requestTimeout: deadlineMs,
      keepAliveTimeout: deadlineMs,
      connectionsCheckingInterval: deadlineMs / 5,
    },
    (request, response) => void answer(request, response, metrics),
  )
  server.maxConnections = connectionsMax
  server.maxRequestsPerSocket = requestsPerConnectionMax
  server.setTimeout(deadlineMs)
  const { promise, resolve, reject } = Promise.withResolvers<void>()
  server.once('error', reject)
  server.listen(port, host, resolve)
  await promise.catch(({ code }: NodeJS.ErrnoException) => {
    throw new ConfigError([`metrics: cannot listen on ${host}, TCP port ${port} (${code})`])
  })
  server.off('error', reject)
  return {
    port: (server.address() as AddressInfo).port,
    async close() {
      const closed = new Promise<void>((done) => server.close(() => done()))
      server.closeAllConnections()
      await closed
    },
  }
}

async function answer(request: IncomingMessage, response: ServerResponse, metrics: () => Metrics): Promise<void> {
  if (request.url !== '/metrics') return refuse(response, 404)
  if (request.method !== 'GET') return refuse(response.setHeader('allow', 'GET'), 405)
  const text = await metricsText(metrics())
  response.writeHead(200, {
    'content-type': Registry.PROMETHEUS_CONTENT_TYPE,
    'content-length': Buffer.byteLength(text),
  })
  response.end(text)
}

/** A body that was sent along is not waited for. */
function refuse(response: ServerResponse, status: 404 | 405): void {
  response.writeHead(status, { connection: 'close', 'content-length': 0 }).end()
}

/** Prometheus' text format 0.0.4. A metric of which nothing is known has no lines. */
export function metricsText(metrics: Metrics): Promise<string> {
  const registry = new Registry()
  for (const [name, metric] of Object.entries(metrics)) enter(registry, name, metric)
  return registry.metrics()
}

function enter(registry: Registry, name: string, { kind, help, samples }: Metric): void {
  if (samples === undefined) return
  const list = typeof samples === 'number' ? [{ labels: {}, value: samples }] : samples
  const labelNames = Object.keys(list[0]?.labels ?? { none: '' }) // without labels it would say 0 where nothing was counted
  const made = new { counter: Counter, gauge: Gauge }[kind]({ name, help, labelNames, registers: [registry] })
  for (const { labels, value } of list) made.inc(labels, value)
}
