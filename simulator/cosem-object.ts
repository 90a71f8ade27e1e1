import type { ActionOutcome } from '#gateway/codec/action.ts'
import type { Data } from '#gateway/codec/axdr.ts'
import { encodeObis } from '#gateway/codec/obis.ts'
import { actionResult, dataAccessResult, type GetResult } from '#gateway/codec/results.ts'
import type { SelectiveAccess } from '#gateway/codec/selective-access.ts'
import type { Obis } from '#gateway/model.ts'

/** What a client may do with an attribute is what it has here: nothing where it has neither. */
export interface Attribute {
  read?: (selection: SelectiveAccess | undefined) => GetResult
  /** @returns a `dataAccessResult` code */
  write?: (data: Data) => number
  /** takes selective access by range and by entry */
  selective?: boolean
}

export type Method = (parameters: Data | undefined) => ActionOutcome

export interface CosemObject {
  classId: number
  version: number
  obis: Obis
  /** by number, all that its class has */
  attributes: Readonly<Record<number, Attribute>>
  /** by number, all that its class has; `undefined` is refused */
  methods: Readonly<Record<number, Method | undefined>>
}

/** With its logical name, which is everyone's attribute 1. */
export function cosemObject(
  [classId, version, obis]: readonly [classId: number, version: number, obis: Obis],
  attributes: Readonly<Record<number, Attribute>>,
  methods: Readonly<Record<number, Method | undefined>> = {},
): CosemObject {
  const name = whole(() => octetString(encodeObis(obis)))
  return { classId, version, obis, attributes: { 1: name, ...attributes }, methods }
}

/** An attribute that is read as a whole. */
export function whole(make: () => Data): Attribute {
  return {
    read: (selection) =>
      selection === undefined ? { kind: 'data', data: make() } : refused('scope-of-access-violated'),
  }
}

/** The same object for a client that may only read. */
export function readOnly(object: CosemObject): CosemObject {
  const attributes = Object.entries(object.attributes).map(([number, { write: _, ...rest }]) => [number, rest])
  const methods = Object.keys(object.methods).map((number) => [number, undefined])
  return { ...object, attributes: Object.fromEntries(attributes), methods: Object.fromEntries(methods) }
}

export function refused(why: keyof typeof dataAccessResult): GetResult {
  return { kind: 'error', result: dataAccessResult[why] }
}

export function outcome(why: keyof typeof actionResult): ActionOutcome {
  return { result: actionResult[why], returned: undefined }
}

const accessModes = { none: 0, read: 1, write: 2, both: 3 } as const

/** An object as an association lists it, with the rights that its client has. @see Blue Book, object_list_element */
export function listed({ classId, version, obis, attributes, methods }: CosemObject): Data {
  const rights = Object.entries(attributes).map(([number, { read, write, selective }]) => {
    const mode = read === undefined ? (write ? 'write' : 'none') : write ? 'both' : 'read'
    const selectors: Data = selective ? array(integer(1), integer(2)) : { type: 'null-data' }
    return structure(integer(Number(number)), { type: 'enum', value: accessModes[mode] }, selectors)
  })
  const invocable = Object.entries(methods).map(([number, method]) =>
    structure(integer(Number(number)), { type: 'enum', value: method === undefined ? 0 : 1 }),
  )
  return structure(
    longUnsigned(classId),
    unsigned(version),
    octetString(encodeObis(obis)),
    structure(array(...rights), array(...invocable)),
  )
}

export function octetString(octets: Uint8Array): Data {
  return { type: 'octet-string', octets }
}

export function structure(...elements: Data[]): Data {
  return { type: 'structure', elements }
}

export function array(...elements: Data[]): Data {
  return { type: 'array', elements }
}

export function integer(value: number): Data {
  return { type: 'integer', value }
}

export function unsigned(value: number): Data {
  return { type: 'unsigned', value }
}

export function longUnsigned(value: number): Data {
  return { type: 'long-unsigned', value }
}
