import { readFileSync } from 'node:fs'
import { isIP } from 'node:net'
import { dirname, resolve } from 'node:path'
import { ConfigError } from '#gateway/errors.ts'

export interface StudiesConfig {
  /** an IP address or `localhost`; anything but loopback needs `tls` */
  readonly host: string
  /** 0 takes any free port */
  readonly port: number
  /** what the Host header field may name, lower case, without port */
  readonly names: readonly string[]
  /** path of the gateway's released cells */
  readonly released: string
  readonly tls: { readonly keyFile: string; readonly certificateFile: string } | undefined
}

const keys = ['zones', 'host', 'port', 'names', 'released', 'tls']
const tlsKeys = ['keyFile', 'certificateFile']
const loopbackNames = ['localhost', '127.0.0.1', '[::1]']
const namePattern = /^([a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?|\[[0-9a-f:.]{2,45}\])$/i

/** Reads the file once; paths in it are relative to its folder. @throws ConfigError with every fault */
export function readStudiesConfig(path: string): StudiesConfig {
  return parseStudiesConfig(readJson(path), dirname(resolve(path)))
}

/** @param folder that relative paths start from @throws ConfigError with every fault */
export function parseStudiesConfig(value: unknown, folder: string): StudiesConfig {
  if (!isObject(value)) throw new ConfigError(['studies: a JSON object'])
  const faults = unknownKeys(value, keys, '')
  const path = (key: string, text: unknown): string => {
    if (typeof text === 'string' && text !== '') return resolve(folder, text)
    faults.push(`${key}: a path`)
    return ''
  }
  if (value.zones !== undefined) path('zones', value.zones) // named by every part's file; nothing here needs it yet
  const host = hostOf(value.host, faults)
  const config = {
    host,
    port: portOf(value.port, faults),
    names: namesOf(value.names, host, faults),
    released: path('released', value.released),
    tls: tlsOf(value.tls, faults, path),
  }
  if (host !== '' && !isLoopback(host) && config.tls === undefined) faults.push('tls: required unless host is loopback')
  if (faults.length > 0) throw new ConfigError(faults)
  return Object.freeze(config)
}

function readJson(path: string): unknown {
  try {
    return JSON.parse(readFileSync(path, 'utf8'))
  } catch (cause) {
    throw new ConfigError([`${path}: ${(cause as Error).message}`])
  }
}

function hostOf(value: unknown, faults: string[]): string {
  if (typeof value === 'string' && (isIP(value) !== 0 || value === 'localhost')) return value
  faults.push('host: an IP address or localhost')
  return ''
}

function portOf(value: unknown, faults: string[]): number {
  const port = typeof value === 'number' ? value : Number.NaN
  if (!Number.isInteger(port) || port < 0 || port > 65_535) faults.push('port: 0 to 65535')
  return port
}

function namesOf(value: unknown, host: string, faults: string[]): string[] {
  if (value === undefined) {
    if (isIP(host) !== 0 && /^[0.:]+$/.test(host)) faults.push(`names: required, ${host} is no name to ask for`)
    return isLoopback(host) ? [...new Set([...loopbackNames, bracketed(host)])] : [bracketed(host)]
  }
  const names = Array.isArray(value) ? value.filter((name) => typeof name === 'string' && namePattern.test(name)) : []
  if (!Array.isArray(value) || names.length !== value.length || names.length < 1 || names.length > 32) {
    faults.push('names: a list of 1 to 32 host names')
  }
  return names.map((name: string) => name.toLowerCase())
}

function tlsOf(value: unknown, faults: string[], path: (key: string, text: unknown) => string): StudiesConfig['tls'] {
  if (value === undefined) return undefined
  if (!isObject(value)) {
    faults.push('tls: an object')
    return { keyFile: '', certificateFile: '' }
  }
  faults.push(...unknownKeys(value, tlsKeys, 'tls.'))
  return {
    keyFile: path('tls.keyFile', value.keyFile),
    certificateFile: path('tls.certificateFile', value.certificateFile),
  }
}

function isLoopback(host: string): boolean {
  return host === 'localhost' || host === '::1' || (isIP(host) === 4 && host.startsWith('127.'))
}

/** An IPv6 address as it stands in a URL. */
export function bracketed(host: string): string {
  return isIP(host) === 6 ? `[${host.toLowerCase()}]` : host
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function unknownKeys(value: Record<string, unknown>, known: readonly string[], prefix: string): string[] {
  return Object.keys(value)
    .filter((key) => !known.includes(key))
    .map((key) => `${prefix}${key}: unknown key`)
}
