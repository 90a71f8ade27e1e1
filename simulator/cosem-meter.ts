import type { ActionOutcome } from '#gateway/codec/action.ts'
import type { Data } from '#gateway/codec/axdr.ts'
import type { MethodDescriptor, SelectedAttribute } from '#gateway/codec/descriptor.ts'
import { encodeObis, parseObis } from '#gateway/codec/obis.ts'
import { dataAccessResult, type GetResult } from '#gateway/codec/results.ts'
import type { CaptureColumn } from '#gateway/codec/selective-access.ts'
import { type Obis, type SystemTitle, unitWh } from '#gateway/model.ts'
import { type AssociationFacts, associationObject, counterName, saps, securityObjects } from './association-object.ts'
import { clockClass, clockName, clockObject, localDateTime, meterClock } from './clock-object.ts'
import {
  array,
  type CosemObject,
  cosemObject,
  integer,
  longUnsigned,
  octetString,
  outcome,
  readOnly,
  refused,
  structure,
  unsigned,
  whole,
} from './cosem-object.ts'
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
  logicalDevice: parseObis('0-0:42.0.0'),
  message: parseObis('0-0:96.13.0'),
  status: parseObis('0-0:96.10.1'),
  event: parseObis('0-0:96.11.0'),
  import: parseObis('1-0:1.8.0'),
  export: parseObis('1-0:2.8.0'),
  loadProfile: parseObis('1-0:99.1.0'),
  eventLog: parseObis('0-0:99.98.0'),
} as const

const classes = { data: 1, register: 3, profile: 7 } as const

/** What the public client sees besides its association: no measured value, and nothing that it could change. */
const publicNames: ReadonlySet<Obis> = new Set([names.logicalDevice, clockName, counterName])

/** @see Blue Book, event codes are the manufacturer's; these are those of IDIS */
const events = { powerDown: 1, powerUp: 2, clockBefore: 4, clockAfter: 5 } as const
/** Days with an interruption, as a share, and its coordinates among the household's draws. */
const interruption = { share: 0.1, day: 40, hour: 41, lastsSeconds: 240 } as const
/** Octets of a message to the customer, the most. */
const messageOctetsMax = 1_024

interface Profile {
  obis: Obis
  columns: readonly CaptureColumn[]
  periodSeconds: number
  entriesMax: number
  rows: () => BufferRow[]
}

/** A meter and who looks at it: what one client changes the others see. */
export interface MeterObjects {
  /** as a client sees the meter; it may do what the association's object list says, and nothing else */
  view: (facts: AssociationFacts) => CosemMeter
}

/**
 * A meter's objects: logical device name, clock in Brussels, a message to the customer, two energy registers, load profile,
 * event log, and for each client its association. Registers and profile move at whole quarter-hours, by a time base that
 * setting the clock does not move. Clock and message can be written; nothing can be reset.
 */
export function meterObjects(settings: CosemMeterSettings): MeterObjects {
  const all = objectsOf(settings)
  return {
    view(facts) {
      const security = facts.security === undefined ? [] : securityObjects(facts.security)
      const seen =
        facts.client === saps.public
          ? [...all, ...security].filter(({ obis }) => publicNames.has(obis)).map(readOnly)
          : [...all, ...security]
      return serving([associationObject(facts, seen), ...seen])
    },
  }
}

/** As the management client sees the meter in an association without security. */
export function cosemMeter(settings: CosemMeterSettings): CosemMeter {
  return meterObjects(settings).view({ client: saps.management, mechanism: 0, ciphered: false })
}

function serving(seen: readonly CosemObject[]): CosemMeter {
  const objects = new Map(seen.map((object) => [object.obis, object]))
  const find = ({ classId, obis }: { classId: number; obis: Obis }) => {
    const object = objects.get(obis)
    if (object === undefined) return 'object-undefined'
    return object.classId === classId ? object : 'object-class-inconsistent'
  }
  return {
    get(asked) {
      const object = find(asked)
      if (typeof object === 'string') return refused(object)
      const attribute = object.attributes[asked.attribute]
      if (attribute === undefined) return refused('object-unavailable')
      return attribute.read?.(asked.selection) ?? refused('read-write-denied')
    },
    set(asked, data) {
      const object = find(asked)
      if (typeof object === 'string') return dataAccessResult[object]
      const attribute = object.attributes[asked.attribute]
      if (attribute === undefined) return dataAccessResult['object-unavailable']
      if (attribute.write === undefined) return dataAccessResult['read-write-denied']
      return asked.selection === undefined ? attribute.write(data) : dataAccessResult['scope-of-access-violated']
    },
    act(asked, parameters) {
      const object = find(asked)
      if (typeof object === 'string') return outcome(object)
      if (!Object.hasOwn(object.methods, asked.method)) return outcome('object-unavailable')
      return object.methods[asked.method]?.(parameters) ?? outcome('read-write-denied')
    },
  }
}

function objectsOf(settings: CosemMeterSettings): CosemObject[] {
  const { systemTitle, now } = settings
  const energy = energyOf(settings)
  const name = Buffer.from(`AMI${systemTitle.slice(6)}`, 'latin1')
  const moves: BufferedEvent[] = []
  const clock = meterClock(now, (before, after) => {
    const at = now()
    moves.push({ at, time: before, code: events.clockBefore }, { at, time: after, code: events.clockAfter })
    moves.splice(0, Math.max(0, moves.length - eventEntriesMax))
  })
  return [
    cosemObject([classes.data, 0, names.logicalDevice], { 2: whole(() => octetString(name)) }),
    clockObject(clock),
    messageObject(),
    cosemObject([classes.data, 0, names.status], { 2: whole(() => unsigned(0)) }),
    cosemObject([classes.data, 0, names.event], { 2: whole(() => unsigned(events.powerUp)) }),
    register(names.import, () => energy(now()).importWh),
    register(names.export, () => energy(now()).exportWh),
    profileObject(loadProfile(settings, energy)),
    profileObject(eventLog(settings, moves)),
  ]
}

/** What the head-end says to the customer, empty before the first. */
function messageObject(): CosemObject {
  let message: Uint8Array = new Uint8Array()
  return cosemObject([classes.data, 0, names.message], {
    2: {
      ...whole(() => octetString(message)),
      write: (data) => {
        if (data.type !== 'octet-string') return dataAccessResult['type-unmatched']
        if (data.octets.length > messageOctetsMax) return dataAccessResult['other-reason']
        message = Uint8Array.from(data.octets) // what came is a view of what was received
        return dataAccessResult.success
      },
    },
  })
}

function register(obis: Obis, valueWh: () => number): CosemObject {
  return cosemObject(
    [classes.register, 0, obis],
    {
      2: whole(() => ({ type: 'double-long-unsigned', value: valueWh() })),
      3: whole(() => structure(integer(0), { type: 'enum', value: unitWh })),
    },
    { 1: undefined },
  )
}

/** @see Blue Book, Profile generic (class 7) */
function profileObject({ obis, columns, periodSeconds, entriesMax, rows }: Profile): CosemObject {
  return cosemObject(
    [classes.profile, 1, obis],
    {
      2: {
        selective: true,
        read: (selection) => {
          const selected = selectRows(rows(), columns, selection)
          return typeof selected === 'string' ? refused(selected) : { kind: 'data', data: array(...selected) }
        },
      },
      3: whole(() => array(...columns.map(columnData))),
      4: whole(() => ({ type: 'double-long-unsigned', value: periodSeconds })),
      5: whole(() => ({ type: 'enum', value: 1 })), // first in, first out
      6: whole(() => columnData({ classId: 0, obis: parseObis('0-0:0.0.0*0'), attribute: 0, dataIndex: 0 })),
      7: whole(() => ({ type: 'double-long-unsigned', value: rows().length })),
      8: whole(() => ({ type: 'double-long-unsigned', value: entriesMax })),
    },
    { 1: undefined, 2: undefined },
  )
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

const clockColumn = attributeTwo(clockClass, clockName)

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
        octetString(localDateTime(time)),
        unsigned(0),
        { type: 'double-long-unsigned', value: importWh },
        { type: 'double-long-unsigned', value: exportWh },
      ]
      return { time, cells }
    })
  }
  return { obis: names.loadProfile, columns, periodSeconds, entriesMax: profileEntriesMax, rows }
}

/** An entry of the event log: when it was by the meter's time base, and by its clock. */
interface BufferedEvent {
  at: number
  time: number
  code: number
}

/** Power came with the installation, and went for some minutes on one day in ten; and the clock was moved. */
function eventLog({ seed, installed, now }: CosemMeterSettings, moves: readonly BufferedEvent[]): Profile {
  const columns = [clockColumn, attributeTwo(classes.data, names.event)]
  const power = (at: number, code: number): BufferedEvent => ({ at, time: at, code })
  const row = ({ time, code }: BufferedEvent): BufferRow => {
    return { time, cells: [octetString(localDateTime(time)), unsigned(code)] }
  }
  const rows = (): BufferRow[] => {
    const all = [power(installed, events.powerUp), ...moves]
    for (let day = Math.ceil(installed / daySeconds); day * daySeconds <= now(); day++) {
      if (unit(seed, day, interruption.day) >= interruption.share) continue
      const down = day * daySeconds + Math.floor(unit(seed, day, interruption.hour) * 80_000)
      all.push(power(down, events.powerDown), power(down + interruption.lastsSeconds, events.powerUp))
    }
    const past = all.filter(({ at }) => at <= now()).toSorted((a, b) => a.at - b.at)
    return past.slice(-eventEntriesMax).map(row)
  }
  return { obis: names.eventLog, columns, periodSeconds: 0, entriesMax: eventEntriesMax, rows }
}

function columnData({ classId, obis, attribute, dataIndex }: CaptureColumn): Data {
  return structure(longUnsigned(classId), octetString(encodeObis(obis)), integer(attribute), longUnsigned(dataIndex))
}
