import { eventNotificationTag } from '../codec/event.ts'
import type { Obis } from '../model.ts'

/** Error registers, and alarm registers with their filters and descriptors. @see DLMS UA Blue Book, OBIS of abstract objects */
const alarms = /^0-\d+:97\.(97|98)\./

/**
 * Whether a reading is not to wait for others: a meter sent it unasked as an event, or it is an alarm register.
 * @param plain the APDU that it came in, deciphered
 */
export function isUrgent(plain: Uint8Array, obis: Obis): boolean {
  return plain[0] === eventNotificationTag || alarms.test(obis)
}
