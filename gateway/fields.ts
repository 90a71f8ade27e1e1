import { resolve } from 'node:path'
import { ConfigError } from './errors.ts'

/**
 * One object of a configuration file, read strictly: a key nobody asks for is a fault, so is a value of another form, and
 * all faults are told together. Secrets are paths, never values.
 */
export class Fields {
  readonly #object: Record<string, unknown>
  readonly #path: string
  readonly #faults: string[]
  readonly #asked = new Set<string>()

  constructor(value: unknown, path: string, faults: string[]) {
    this.#path = path
    this.#faults = faults
    const isObject = typeof value === 'object' && value !== null && !Array.isArray(value)
    if (!isObject) faults.push(`${path || 'configuration'}: an object`)
    this.#object = isObject ? (value as Record<string, unknown>) : {}
  }

  /** @param form what it must match, and how to say so */
  text(key: string, fallback?: string, form?: { pattern: RegExp; says: string }): string {
    const value = this.#take(key) ?? fallback
    if (typeof value === 'string' && (form === undefined || form.pattern.test(value))) return value
    this.fault(key, form?.says ?? 'a text')
    return ''
  }

  /** @param folder that a relative path starts from: the file's own */
  path(key: string, folder: string): string {
    return resolve(folder, this.text(key, undefined, { pattern: /^[^\0]{1,4096}$/, says: 'a path' }))
  }

  /** @returns undefined when the key is absent */
  optionalPath(key: string, folder: string): string | undefined {
    return Object.hasOwn(this.#object, key) ? this.path(key, folder) : this.#nothing(key)
  }

  whole(key: string, [min, max]: readonly [number, number], fallback?: number): number {
    const value = this.#take(key) ?? fallback
    if (Number.isInteger(value) && Number(value) >= min && Number(value) <= max) return Number(value)
    this.fault(key, `a whole number, ${min} to ${max}`)
    return min
  }

  wholes(key: string, [min, max]: readonly [number, number], fallback: readonly number[]): number[] {
    const value = this.#take(key) ?? fallback
    const good = Array.isArray(value) && value.length > 0 && value.length <= 16
    if (good && value.every((one) => Number.isInteger(one) && one >= min && one <= max)) return value
    this.fault(key, `1 to 16 whole numbers, ${min} to ${max}`)
    return []
  }

  /** 1 to 32 texts. @param form what each must match, and how to say so @returns undefined when the key is absent */
  optionalTexts(key: string, form: { pattern: RegExp; says: string }): string[] | undefined {
    const value = this.#take(key)
    if (value === undefined) return undefined
    const good = Array.isArray(value) && value.length > 0 && value.length <= 32
    if (good && value.every((one) => typeof one === 'string' && form.pattern.test(one))) return value
    this.fault(key, `1 to 32 of ${form.says}`)
    return []
  }

  /** @returns undefined when the key is absent */
  optionalText(key: string, form: { pattern: RegExp; says: string }): string | undefined {
    return Object.hasOwn(this.#object, key) ? this.text(key, undefined, form) : this.#nothing(key)
  }

  /** A list of objects, none when the key is absent. @param most of them */
  objects<T>(key: string, most: number, build: (fields: Fields) => T): T[] {
    const value = this.#take(key) ?? []
    if (!Array.isArray(value) || value.length > most) {
      this.fault(key, `at most ${most} objects`)
      return []
    }
    return value.map((one, i) => {
      const inner = new Fields(one, `${this.#at(key)}[${i}]`, this.#faults)
      const built = build(inner)
      inner.end()
      return built
    })
  }

  flag(key: string, fallback: boolean): boolean {
    const value = this.#take(key) ?? fallback
    if (typeof value === 'boolean') return value
    this.fault(key, 'true or false')
    return fallback
  }

  /** @returns undefined when the key is absent */
  optional<T>(key: string, build: (fields: Fields) => T): T | undefined {
    return Object.hasOwn(this.#object, key) ? this.object(key, build) : this.#nothing(key)
  }

  object<T>(key: string, build: (fields: Fields) => T): T {
    const inner = new Fields(this.#take(key), this.#at(key), this.#faults)
    const built = build(inner)
    inner.end()
    return built
  }

  /** Whether the key is there; it is not thereby asked for. */
  has(key: string): boolean {
    return Object.hasOwn(this.#object, key)
  }

  fault(key: string, says: string): void {
    this.#faults.push(`${this.#at(key)}: ${says}`)
  }

  /** Tells of every key that nobody asked for. */
  end(): void {
    for (const key of Object.keys(this.#object)) if (!this.#asked.has(key)) this.fault(key, 'no such key')
  }

  #take(key: string): unknown {
    this.#asked.add(key)
    return Object.hasOwn(this.#object, key) ? this.#object[key] : undefined
  }

  #nothing(key: string): undefined {
    this.#asked.add(key)
    return undefined
  }

  #at(key: string): string {
    return this.#path === '' ? key : `${this.#path}.${key}`
  }
}

/** A configuration from its file's text, frozen. @throws ConfigError with everything wrong */
export function readConfig<T extends object>(text: string, build: (fields: Fields) => T): Readonly<T> {
  const faults: string[] = []
  const root = new Fields(parsed(text), '', faults)
  const config = build(root)
  root.end()
  if (faults.length > 0) throw new ConfigError(faults)
  return Object.freeze(config)
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch (cause) {
    throw new ConfigError([`configuration: not JSON: ${(cause as Error).message}`])
  }
}
