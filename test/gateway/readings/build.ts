import type { Data } from '#gateway/codec/axdr.ts'
import { encodeDateTime } from '#gateway/codec/datetime.ts'
import type { DataNotification } from '#gateway/codec/notification.ts'
import { encodeObis, parseObis } from '#gateway/codec/obis.ts'

/** 2024-01-01T00:00Z */
export const newYear = 1_704_067_200

export const s = (...elements: Data[]): Data => ({ type: 'structure', elements })
export const a = (...elements: Data[]): Data => ({ type: 'array', elements })
export const nothing: Data = { type: 'null-data' }
export const o = (hex: string): Data => ({ type: 'octet-string', octets: Uint8Array.from(Buffer.from(hex, 'hex')) })
export const text = (value: string): Data => ({ type: 'visible-string', octets: Uint8Array.from(Buffer.from(value)) })
export const name = (code: string): Data => ({ type: 'octet-string', octets: encodeObis(parseObis(code)) })
export const clock = (seconds: number, status = 0): Data => ({
  type: 'octet-string',
  octets: encodeDateTime(seconds, status),
})
export const u8 = (value: number): Data => ({ type: 'unsigned', value })
export const u16 = (value: number): Data => ({ type: 'long-unsigned', value })
export const u32 = (value: number): Data => ({ type: 'double-long-unsigned', value })
export const i8 = (value: number): Data => ({ type: 'integer', value })
export const unit = (value: number): Data => ({ type: 'enum', value })
export const scale = (scaler: number, code: number): Data => s(i8(scaler), unit(code))
export const attribute = (classId: number, code: string, index: number): Data =>
  s(u16(classId), name(code), i8(index), u16(0))

export function notification(body: Data, at: number | undefined = newYear, status = 0): DataNotification {
  const dateTime = at === undefined ? undefined : encodeDateTime(at, status)
  return { apdu: 'data-notification', longInvokeId: 1, dateTime, body, dialects: [] }
}
