import { type DestinationStream, type Logger, pino, stdTimeFunctions } from 'pino'

export type { Logger } from 'pino'

/**
 * One JSON object a line: `level` as a word, `time` in UTC, `part`, `event` (a fixed name) and fields.
 * Never keys, plain APDUs or a meter's values: what might carry one is redacted by name as a last guard.
 * @param part which program speaks: `gateway`, `mdm`, `studies`, `simulator`
 */
export function openLog(part: string, destination?: DestinationStream): Logger {
  return pino(
    {
      base: { part },
      timestamp: stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }) },
      redact: {
        paths: ['key', 'ek', 'ak', 'kek', 'plain', 'value', 'values', '*.key', '*.ek', '*.ak'],
        censor: '[redacted]',
      },
    },
    destination ?? pino.destination({ fd: 1, sync: true }),
  )
}
