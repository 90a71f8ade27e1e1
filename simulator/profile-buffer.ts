import type { Data } from '#gateway/codec/axdr.ts'
import type { dataAccessResult } from '#gateway/codec/results.ts'
import type { CaptureColumn, SelectiveAccess } from '#gateway/codec/selective-access.ts'
import { timeOf } from './clock-object.ts'

/** A row of a profile, the oldest first. */
export interface BufferRow {
  /** of its clock, seconds since 1970-01-01T00:00Z */
  time: number
  /** one for each column */
  cells: readonly Data[]
}

type Refusal = Extract<keyof typeof dataAccessResult, 'type-unmatched' | 'scope-of-access-violated'>

/**
 * The rows, and of them the columns, that a selection asks for; the first column is the clock.
 * @returns a structure for each row, or why there are none
 * @see Blue Book, Profile generic, selective access
 */
export function selectRows(
  rows: readonly BufferRow[],
  columns: readonly CaptureColumn[],
  selection: SelectiveAccess | undefined,
): Data[] | Refusal {
  switch (selection?.kind) {
    case undefined:
      return rows.map(({ cells }) => ({ type: 'structure', elements: [...cells] }))
    case 'range':
      return byRange(rows, columns, selection)
    case 'entry':
      return byEntry(rows, columns.length, selection)
    case 'other':
      return 'scope-of-access-violated'
  }
}

function byRange(
  rows: readonly BufferRow[],
  columns: readonly CaptureColumn[],
  { restricting, from, to, selected }: Extract<SelectiveAccess, { kind: 'range' }>,
): Data[] | Refusal {
  if (indexOf(columns, restricting) !== 0) return 'scope-of-access-violated'
  const [first, last] = [timeOf(from), timeOf(to)]
  if (first === undefined || last === undefined) return 'type-unmatched'
  const wanted = selected.length === 0 ? columns.map((_, i) => i) : selected.map((column) => indexOf(columns, column))
  if (wanted.includes(-1)) return 'scope-of-access-violated'
  const within = rows.filter(({ time }) => time >= first && time <= last)
  return within.map(({ cells }) => ({ type: 'structure', elements: wanted.map((i) => cells[i]!) }))
}

function indexOf(columns: readonly CaptureColumn[], { classId, obis, attribute, dataIndex }: CaptureColumn): number {
  return columns.findIndex(
    (column) =>
      column.classId === classId &&
      column.obis === obis &&
      column.attribute === attribute &&
      column.dataIndex === dataIndex,
  )
}

function byEntry(
  rows: readonly BufferRow[],
  width: number,
  { fromEntry, toEntry, fromValue, toValue }: Extract<SelectiveAccess, { kind: 'entry' }>,
): Data[] | Refusal {
  if (fromEntry < 1 || fromValue < 1 || fromValue > width || toValue > width) return 'scope-of-access-violated'
  const within = rows.slice(fromEntry - 1, toEntry === 0 ? undefined : toEntry)
  return within.map(({ cells }) => {
    return { type: 'structure', elements: cells.slice(fromValue - 1, toValue === 0 ? undefined : toValue) }
  })
}
