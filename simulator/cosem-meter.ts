import type { ActionOutcome } from '#gateway/codec/action.ts'
import type { Data } from '#gateway/codec/axdr.ts'
import { encodeDateTime } from '#gateway/codec/datetime.ts'
import type { MethodDescriptor, SelectedAttribute } from '#gateway/codec/descriptor.ts'
import { encodeObis, parseObis } from '#gateway/codec/obis.ts'
import { actionResult, dataAccessResult, type GetResult } from '#gateway/codec/results.ts'
import type { CaptureColumn, SelectiveAccess } from '#gateway/codec/selective-access.ts'
import { type Obis, type SystemTitle, unitWh } from '#gateway/model.ts'
import { intervalEnergy } from './household.ts'
import { type BufferRow, selectRows } from './profile-buffer.ts'
import { unit } from './random.ts'

export interface CosemMeterSettings {
  /** of its household, an unsigned 32-bit integer */
  seed: number
  systemTitle: SystemTitle
  /** when it began to count, seconds since 1970-01-01T00:00Z, a whole quarter-hour */
  installed: number
  /** seconds since 1970-01-01T00:00Z, not before `installed` */
  now: () => number
}

/** Objects as a DLMS server has them: what it is asked for and does not have, it says in the result. */
export interface CosemMeter {
  get(attribute: SelectedAttribute): GetResult
  /** @returns a `dataAccessResult` code */
  set(attribute: SelectedAttribute, data: Data): number
  act(method: MethodDescriptor, parameters: Data | undefined): ActionOutcome
}

/** Rows of the load profile, the most: a month of quarter-hours. */
export const profileEntriesMax = 2_976
/** Rows of the event log, the most. */
export const eventEntriesMax = 100

const periodSeconds = 900
const daySeconds = 86_400

const names = {
  association: parseObis('0-0:40.0.0'),
  logicalDevice: parseObis('0-0:42.0.0'),
  clock: parseObis('0-0:1.0.0'),
  status: parseObis('0-0:96.10.1'),
  event: parseObis('0-0:96.11.0'),
  import: parseObis('1-0:1.8.0'),
  export: parseObis('1-0:2.8.0'),
  loadProfile: parseObis('1-0:99.1.0'),
  eventLog: parseObis('0-0:99.98.0'),
} as const

const classes = { data: 1, register: 3, profile: 7, clock: 8, association: 15 } as const

/** @see Blue Book, event codes are the manufacturer's; these are those of IDIS */
const events = { powerDown: 1, powerUp: 2 } as const
/** Days with an interruption, as a share, and its coordinates among the household's draws. */
const interruption = { share: 0.1, day: 40, hour: 41, lastsSeconds: 240 } as const

type Attribute = (selection: SelectiveAccess | undefined) => GetResult

interface CosemObject {
  classId: number
  version: number
  obis: Obis
  /** by number; the logical name, number 1, is everyone's */
  attributes: Readonly<Record<number, Attribute>>
}

interface Profile {
  obis: Obis
  columns: readonly CaptureColumn[]
  periodSeconds: number
  entriesMax: number
  rows: () => BufferRow[]
}

/**
 * A meter's objects: association, logical device name, clock in UTC, two energy registers, load profile, event log.
 * Registers and profile move at whole quarter-hours. Nothing can be written, and no method does anything.
 */
export function cosemMeter(settings: CosemMeterSettings): CosemMeter {
  const objects = new Map(objectsOf(settings).map((object) => [object.obis, object]))
  const find = ({ classId, obis }: { classId: number; obis: Obis }): CosemObject | keyof typeof dataAccessResult => {
    const object = objects.get(obis)
    if (object === undefined) return 'object-undefined'
    return object.classId === classId ? object : 'object-class-inconsistent'
  }
  return {
    get(asked) {
      const object = find(asked)
      if (typeof object === 'string') return refused(object)
      const read = object.attributes[asked.attribute]
      return read === undefined ? refused('object-unavailable') : read(asked.selection)
    },
    set(asked) {
      const object = find(asked)
      return dataAccessResult[typeof object === 'string' ? object : 'read-write-denied']
    },
    act(asked) {
      const isKnown = typeof find(asked) !== 'string'
      return { result: actionResult[isKnown ? 'read-write-denied' : 'object-undefined'], returned: undefined }
    },
  }
}

function refused(why: keyof typeof dataAccessResult): GetResult {
  return { kind: 'error', result: dataAccessResult[why] }
}

/** An attribute that is read as a whole. */
function whole(make: () => Data): Attribute {
  return (selection) => (selection === undefined ? { kind: 'data', data: make() } : refused('scope-of-access-violated'))
}

function object(classId: number, version: number, obis: Obis, attributes: Record<number, Attribute>): CosemObject {
  const name = whole(() => octetString(encodeObis(obis)))
  return { classId, version, obis, attributes: { 1: name, ...attributes } }
}

function objectsOf(settings: CosemMeterSettings): CosemObject[] {
  const { systemTitle, now } = settings
  const energy = energyOf(settings)
  const name = `AMI${systemTitle.slice(6)}`
  const objects = [
    object(classes.data, 0, names.logicalDevice, { 2: whole(() => octetString(Buffer.from(name, 'latin1'))) }),
    clockObject(now),
    object(classes.data, 0, names.status, { 2: whole(() => ({ type: 'unsigned', value: 0 })) }),
    object(classes.data, 0, names.event, { 2: whole(() => ({ type: 'unsigned', value: events.powerUp })) }),
    register(names.import, () => energy(now()).importWh),
    register(names.export, () => energy(now()).exportWh),
    profileObject(loadProfile(settings, energy)),
    profileObject(eventLog(settings)),
  ]
  const association: CosemObject = object(classes.association, 0, names.association, {
    2: whole(() => array(...[association, ...objects].map(listed))),
    8: whole(() => ({ type: 'enum', value: 2 })), // associated: else nobody could read it
  })
  return [association, ...objects]
}

/** @see Blue Book, Clock (class 8) */
function clockObject(now: () => number): CosemObject {
  const noTime = (): Data => octetString(new Uint8Array(12).fill(0xff))
  return object(classes.clock, 0, names.clock, {
    2: whole(() => octetString(encodeDateTime(Math.floor(now())))),
    3: whole(() => ({ type: 'long', value: 0 })),
    4: whole(() => ({ type: 'unsigned', value: 0 })),
    5: whole(noTime),
    6: whole(noTime),
    7: whole(() => ({ type: 'integer', value: 0 })),
    8: whole(() => ({ type: 'boolean', value: false })),
    9: whole(() => ({ type: 'enum', value: 1 })),
  })
}

function register(obis: Obis, valueWh: () => number): CosemObject {
  return object(classes.register, 0, obis, {
    2: whole(() => ({ type: 'double-long-unsigned', value: valueWh() })),
    3: whole(() => structure({ type: 'integer', value: 0 }, { type: 'enum', value: unitWh })),
  })
}

/** @see Blue Book, Profile generic (class 7) */
function profileObject({ obis, columns, periodSeconds, entriesMax, rows }: Profile): CosemObject {
  return object(classes.profile, 1, obis, {
    2: (selection) => {
      const selected = selectRows(rows(), columns, selection)
      return typeof selected === 'string' ? refused(selected) : { kind: 'data', data: array(...selected) }
    },
    3: whole(() => array(...columns.map(columnData))),
    4: whole(() => ({ type: 'double-long-unsigned', value: periodSeconds })),
    5: whole(() => ({ type: 'enum', value: 1 })), // first in, first out
    6: whole(() => columnData({ classId: 0, obis: parseObis('0-0:0.0.0*0'), attribute: 0, dataIndex: 0 })),
    7: whole(() => ({ type: 'double-long-unsigned', value: rows().length })),
    8: whole(() => ({ type: 'double-long-unsigned', value: entriesMax })),
  })
}

interface Totals {
  importWh: number
  exportWh: number
}

/** What was counted from the installation to the last whole quarter-hour before a time; sums are made once. */
function energyOf({ seed, installed }: CosemMeterSettings): (time: number) => Totals {
  const household = { seed }
  const totals: Totals[] = [{ importWh: 0, exportWh: 0 }]
  return (time) => {
    const at = Math.floor((time - installed) / periodSeconds)
    while (totals.length <= at) {
      const last = totals.at(-1)!
      const one = intervalEnergy(household, installed + (totals.length - 1) * periodSeconds, periodSeconds)
      totals.push({ importWh: last.importWh + one.importWh, exportWh: last.exportWh + one.exportWh })
    }
    return totals[at]!
  }
}

function attributeTwo(classId: number, obis: Obis): CaptureColumn {
  return { classId, obis, attribute: 2, dataIndex: 0 }
}

const clockColumn = attributeTwo(classes.clock, names.clock)

function loadProfile({ installed, now }: CosemMeterSettings, energy: (time: number) => Totals): Profile {
  const columns = [
    clockColumn,
    attributeTwo(classes.data, names.status),
    attributeTwo(classes.register, names.import),
    attributeTwo(classes.register, names.export),
  ]
  const rows = (): BufferRow[] => {
    const captured = Math.floor((now() - installed) / periodSeconds)
    const count = Math.min(captured, profileEntriesMax)
    return Array.from({ length: count }, (_, i) => {
      const time = installed + (captured - count + 1 + i) * periodSeconds
      const { importWh, exportWh } = energy(time)
      const cells: Data[] = [
        octetString(encodeDateTime(time)),
        { type: 'unsigned', value: 0 },
        { type: 'double-long-unsigned', value: importWh },
        { type: 'double-long-unsigned', value: exportWh },
      ]
      return { time, cells }
    })
  }
  return { obis: names.loadProfile, columns, periodSeconds, entriesMax: profileEntriesMax, rows }
}

/** Power came with the installation, and went for some minutes on one day in ten. */
function eventLog({ seed, installed, now }: CosemMeterSettings): Profile {
  const columns = [clockColumn, attributeTwo(classes.data, names.event)]
  const row = (time: number, code: number): BufferRow => {
    return { time, cells: [octetString(encodeDateTime(time)), { type: 'unsigned', value: code }] }
  }
  const rows = (): BufferRow[] => {
    const all = [row(installed, events.powerUp)]
    for (let day = Math.ceil(installed / daySeconds); day * daySeconds <= now(); day++) {
      if (unit(seed, day, interruption.day) >= interruption.share) continue
      const down = day * daySeconds + Math.floor(unit(seed, day, interruption.hour) * 80_000)
      all.push(row(down, events.powerDown), row(down + interruption.lastsSeconds, events.powerUp))
    }
    return all.filter(({ time }) => time <= now()).slice(-eventEntriesMax)
  }
  return { obis: names.eventLog, columns, periodSeconds: 0, entriesMax: eventEntriesMax, rows }
}

/** An object as the association lists it: every attribute can be read. @see Blue Book, object_list_element */
function listed({ classId, version, obis, attributes }: CosemObject): Data {
  const rights = Object.keys(attributes).map((number) => {
    const selectors: Data =
      classId === classes.profile && number === '2'
        ? array({ type: 'integer', value: 1 }, { type: 'integer', value: 2 })
        : { type: 'null-data' }
    return structure({ type: 'integer', value: Number(number) }, { type: 'enum', value: 1 }, selectors)
  })
  return structure(
    { type: 'long-unsigned', value: classId },
    { type: 'unsigned', value: version },
    octetString(encodeObis(obis)),
    structure(array(...rights), array()),
  )
}

function columnData({ classId, obis, attribute, dataIndex }: CaptureColumn): Data {
  return structure(
    { type: 'long-unsigned', value: classId },
    octetString(encodeObis(obis)),
    { type: 'integer', value: attribute },
    { type: 'long-unsigned', value: dataIndex },
  )
}

function octetString(octets: Uint8Array): Data {
  return { type: 'octet-string', octets }
}

function structure(...elements: Data[]): Data {
  return { type: 'structure', elements }
}

function array(...elements: Data[]): Data {
  return { type: 'array', elements }
}
