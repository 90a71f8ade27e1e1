import type { Obis } from '../model.ts'
import {
  classOf,
  elementsOf,
  isScalerUnit,
  listedValues,
  type PushedValue,
  type PushObject,
  pushedScalers,
} from './push.ts'

/** Attributes of a whole register, the logical name among them. @see Blue Book, interface classes 3 to 5 */
const attributesOf: ReadonlyMap<number, number> = new Map([
  [classOf.register, 3],
  [classOf.extendedRegister, 5],
  [classOf.demandRegister, 9],
])

/** Where status and capture time are, and which attribute they belong to. @see Blue Book, classes 4 and 5 */
const besides: ReadonlyMap<number, { value: number; status: number; captureTime: number }> = new Map([
  [classOf.extendedRegister, { value: 2, status: 4, captureTime: 5 }],
  [classOf.demandRegister, { value: 3, status: 5, captureTime: 6 }],
])

/**
 * The values of a push with an object list; lists and scalers serve to read the others and are left out. A value has
 * status and capture time beside it where they were pushed.
 */
export function objectValues(objects: readonly PushObject[]): PushedValue[] {
  const single = objects.flatMap(wholeObject)
  const scalers = pushedScalers(single)
  const values = single.filter(({ classId, attribute }) => !isScalerUnit(classId, attribute))
  return values.flatMap((object): PushedValue[] => {
    if (object.attribute === 0) {
      const { classId, data } = object // all that it holds, in a form that is none of a register's
      return listedValues(data).map((value) => ({ ...value, classId, attribute: 2 }))
    }
    return [
      { ...object, scalerUnit: isScaled(object) ? scalers.get(object.obis) : undefined, ...beside(object, values) },
    ]
  })
}

/** Attribute 0 stands for all: each on its own where there are as many as the class has. */
function wholeObject(object: PushObject): PushObject[] {
  const elements = elementsOf(object.data)
  if (object.attribute !== 0 || elements.length !== attributesOf.get(object.classId)) return [object]
  return elements.slice(1).map((data, i) => ({ ...object, attribute: i + 2, data }))
}

/** The attributes that the scaler is for: value, and in a demand register both averages. */
export function isScaled({ classId, attribute }: Pick<PushedValue, 'classId' | 'attribute'>): boolean {
  return attribute === 2 || (classId === classOf.demandRegister && attribute === 3)
}

/** Of a demand register that was pushed with both averages the last one counts: the current one is not finished. */
export function finished(values: readonly PushedValue[]): readonly PushedValue[] {
  if (!values.some((value) => isAverage(value, 3))) return values
  const last = new Set(values.filter((value) => isAverage(value, 3)).map(({ obis }) => obis))
  return values.filter((value) => !(isAverage(value, 2) && last.has(value.obis)))
}

function isAverage({ classId, attribute }: PushedValue, which: 2 | 3): boolean {
  return classId === classOf.demandRegister && attribute === which
}

function beside(
  { classId, obis, attribute }: PushObject,
  objects: readonly PushObject[],
): Pick<PushedValue, 'status' | 'captureTime'> {
  const places = besides.get(classId)
  if (places?.value !== attribute) return {}
  const find = (at: number): PushObject | undefined => attributeOf(objects, { classId, obis, attribute: at })
  const [status, captureTime] = [find(places.status)?.data, find(places.captureTime)?.data]
  return { ...(status && { status }), ...(captureTime && { captureTime }) }
}

function attributeOf(
  objects: readonly PushObject[],
  wanted: { classId: number; obis: Obis; attribute: number },
): PushObject | undefined {
  return objects.find(
    ({ classId, obis, attribute }) =>
      classId === wanted.classId && obis === wanted.obis && attribute === wanted.attribute,
  )
}
