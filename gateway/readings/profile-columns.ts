import type { Obis } from '../model.ts'
import { classOf } from './push.ts'

/** What a column of a buffer holds, as the capture objects say. @see Blue Book, Profile generic, capture_objects */
export interface Column {
  kind: 'clock' | 'status' | 'value' | 'other'
  classId: number
  obis: Obis
  attribute: number
}

const statusName = /^\d+-\d+:96\.10\.\d+(\*\d+)?$/

/** A capture object as a column; `other` is one that readings cannot be made of. */
export function column(captured: Omit<Column, 'kind'>): Column {
  const { classId, obis, attribute } = captured
  return { kind: kindOf(captured), classId, obis, attribute }
}

function kindOf({ classId, obis, attribute }: Omit<Column, 'kind'>): Column['kind'] {
  if (classId === classOf.clock && attribute === 2) return 'clock'
  if (classId === classOf.data && attribute === 2 && statusName.test(obis)) return 'status'
  const register = [classOf.register, classOf.extendedRegister].some((known) => known === classId) && attribute === 2
  const demand = classId === classOf.demandRegister && (attribute === 2 || attribute === 3)
  return register || demand ? 'value' : 'other'
}
