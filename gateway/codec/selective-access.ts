import type { Obis } from '../model.ts'
import { type Budget, type Data, decodeData, writeData } from './axdr.ts'
import { decodeObis, encodeObis, logicalNameOctets } from './obis.ts'
import type { OctetReader, OctetWriter } from './octets.ts'

/** A column of a profile. @see Blue Book, capture_object_definition */
export interface CaptureColumn {
  /** 0 to 65,535 */
  classId: number
  obis: Obis
  /** -128 to 127 */
  attribute: number
  /** 0 is the whole attribute, else the element of it from 1; 0 to 65,535 */
  dataIndex: number
}

/**
 * Which part of an attribute is asked for. `range` and `entry` are those of a profile; what has another form, or
 * belongs to another class, is kept as it is.
 * @see Blue Book, Profile generic, range_descriptor and entry_descriptor
 */
export type SelectiveAccess =
  | {
      kind: 'range'
      /** the column that `from` and `to` bound, both inclusive */
      restricting: CaptureColumn
      from: Data
      to: Data
      /** none means all columns */
      selected: CaptureColumn[]
    }
  | {
      kind: 'entry'
      /** rows from 1, both inclusive; 0 for `toEntry` is the last; 0 to 2^32 - 1 */
      fromEntry: number
      toEntry: number
      /** columns from 1, both inclusive; 0 for `toValue` is the last; 0 to 65,535 */
      fromValue: number
      toValue: number
    }
  | { kind: 'other'; selector: number; parameters: Data }

const rangeSelector = 1
const entrySelector = 2

/**
 * A selector and its parameters.
 * @param budget shared by all values of the APDU
 * @throws PeerError `APDU_TRUNCATED`, `DATA_*`
 * @see IEC 62056-5-3, Selective-Access-Descriptor
 */
export function decodeSelectiveAccess(reader: OctetReader, budget: Budget): SelectiveAccess {
  const selector = reader.uint(1)
  const parameters = decodeData(reader, budget)
  const known =
    selector === rangeSelector ? range(parameters) : selector === entrySelector ? entry(parameters) : undefined
  return known ?? { kind: 'other', selector, parameters }
}

/** @see decodeSelectiveAccess */
export function writeSelectiveAccess(writer: OctetWriter, access: SelectiveAccess): void {
  const { selector, parameters } = selectionData(access)
  writeData(writer.uint(1, selector), parameters)
}

/** The selector and parameters that a selection travels as. */
export function selectionData(access: SelectiveAccess): { selector: number; parameters: Data } {
  switch (access.kind) {
    case 'range':
      return { selector: rangeSelector, parameters: rangeData(access) }
    case 'entry':
      return { selector: entrySelector, parameters: entryData(access) }
    case 'other':
      return { selector: access.selector, parameters: access.parameters }
  }
}

type Range = Extract<SelectiveAccess, { kind: 'range' }>
type Entry = Extract<SelectiveAccess, { kind: 'entry' }>

function range(data: Data): Range | undefined {
  const [restricting, from, to, selected, ...more] = elementsOf(data, 'structure') ?? []
  if (restricting === undefined || from === undefined || to === undefined || selected === undefined) return undefined
  const restrictingColumn = column(restricting)
  const columns = elementsOf(selected, 'array')?.map(column)
  if (more.length > 0 || restrictingColumn === undefined || columns === undefined) return undefined
  if (!columns.every((one) => one !== undefined)) return undefined
  return { kind: 'range', restricting: restrictingColumn, from, to, selected: columns }
}

function entry(data: Data): Entry | undefined {
  const [a, b, c, d, ...more] = elementsOf(data, 'structure') ?? []
  const fromEntry = numberOf(a, 'double-long-unsigned')
  const toEntry = numberOf(b, 'double-long-unsigned')
  const fromValue = numberOf(c, 'long-unsigned')
  const toValue = numberOf(d, 'long-unsigned')
  if (fromEntry === undefined || toEntry === undefined || fromValue === undefined || toValue === undefined) {
    return undefined
  }
  return more.length > 0 ? undefined : { kind: 'entry', fromEntry, toEntry, fromValue, toValue }
}

function column(data: Data): CaptureColumn | undefined {
  const [first, name, third, fourth, ...more] = elementsOf(data, 'structure') ?? []
  const classId = numberOf(first, 'long-unsigned')
  const attribute = numberOf(third, 'integer')
  const dataIndex = numberOf(fourth, 'long-unsigned')
  if (classId === undefined || attribute === undefined || dataIndex === undefined || more.length > 0) return undefined
  if (name?.type !== 'octet-string' || name.octets.length !== logicalNameOctets) return undefined
  return { classId, obis: decodeObis(name.octets), attribute, dataIndex }
}

function elementsOf(data: Data, type: 'array' | 'structure'): Data[] | undefined {
  return data.type === type ? data.elements : undefined
}

function numberOf(
  data: Data | undefined,
  type: 'integer' | 'long-unsigned' | 'double-long-unsigned',
): number | undefined {
  return data?.type === type ? data.value : undefined
}

function rangeData({ restricting, from, to, selected }: Range): Data {
  const elements = [columnData(restricting), from, to, { type: 'array', elements: selected.map(columnData) } as const]
  return { type: 'structure', elements }
}

function entryData({ fromEntry, toEntry, fromValue, toValue }: Entry): Data {
  return {
    type: 'structure',
    elements: [
      { type: 'double-long-unsigned', value: fromEntry },
      { type: 'double-long-unsigned', value: toEntry },
      { type: 'long-unsigned', value: fromValue },
      { type: 'long-unsigned', value: toValue },
    ],
  }
}

function columnData({ classId, obis, attribute, dataIndex }: CaptureColumn): Data {
  return {
    type: 'structure',
    elements: [
      { type: 'long-unsigned', value: classId },
      { type: 'octet-string', octets: encodeObis(obis) },
      { type: 'integer', value: attribute },
      { type: 'long-unsigned', value: dataIndex },
    ],
  }
}
