import { encodeObis } from '../codec/obis.ts'
import type { Obis } from '../model.ts'
import { electricityName } from './obis-electricity.ts'
import { fitsPattern, type ObisPattern, obisPattern } from './obis-pattern.ts'

/**
 * Codes by pattern: each group a number, a range, or `x` for any; F is 255 or any where it is left out. In the words
 * `{e}` is the group itself and `{e+1}` one more. The first that fits is taken.
 * @see IEC 62056-61; Blue Book, OBIS for abstract objects and for media other than electricity
 */
const table = `0-x:0.1.0 billing period counter
0-x:0.1.1 billing periods available
0-x:0.1.2 time of the last billing period
0-x:0.2.0 active firmware identifier
0-x:0.2.1 active firmware version
0-x:0.2.8 active firmware signature
0-x:0.9.1 local time
0-x:0.9.2 local date
0-x:1.0.0 clock
0-x:1.1.0 Unix clock
0-x:1.2.0 high-resolution clock
0-x:2.0.0 modem configuration
0-x:2.1.0 auto connect
0-x:2.2.0 auto answer
0-x:10.0.0 script table, global meter reset
0-x:10.0.1 script table, end of billing period
0-x:10.0.100 script table, tariffs
0-x:10.0.101 script table, test mode
0-x:10.0.103 script table, output signals
0-x:10.0.106 script table, disconnect control
0-x:10.0.107 script table, image activation
0-x:10.0.108 script table, push
0-x:10.0.125 script table, broadcast
0-x:10.0.x script table {e}
0-x:11.0.x special days table {e}
0-x:12.0.x schedule {e}
0-x:13.0.x activity calendar {e}
0-x:14.0.x register activation {e}
0-x:15.0.0 single action schedule, end of billing period
0-x:15.0.1 single action schedule, disconnect control
0-x:15.0.2 single action schedule, image activation
0-x:15.0.4 single action schedule, push
0-x:15.0.x single action schedule {e}
0-x:16.0.x register monitor {e}
0-x:16.1.x alarm monitor {e}
0-x:17.0.x limiter {e}
0-x:19.x.x payment, object {d}.{e}
0-x:20.x.x IEC local port setup
0-x:21.0.x standard readout list {e}
0-x:22.0.0 IEC HDLC setup
0-x:23.x.x IEC twisted pair setup
0-x:24.0.0 M-Bus slave port setup
0-x:24.1.0 M-Bus client
0-x:24.2.0-3 M-Bus value {e}
0-x:24.2.x M-Bus value {e}
0-x:24.3.x M-Bus load profile {e}
0-x:24.4.0 M-Bus disconnect control
0-x:24.5.0 M-Bus control log
0-x:24.6.0 M-Bus master port setup
0-x:25.0.0 TCP-UDP setup
0-x:25.1.0 IPv4 setup
0-x:25.2.0 MAC address
0-x:25.3.0 PPP setup
0-x:25.4.0 GPRS modem setup
0-x:25.5.0 SMTP setup
0-x:25.6.0 GSM diagnostic
0-x:25.7.0 IPv6 setup
0-x:25.9.0 push setup
0-x:25.10.0 NTP setup
0-x:26.x.x S-FSK PLC setup
0-x:28.x.x PRIME PLC setup
0-x:29.x.x G3-PLC setup
0-x:31.x.x wireless M-Bus setup
0-x:40.0.0 current association
0-x:40.0.x association {e}
0-x:41.0.0 SAP assignment
0-x:42.0.0 logical device name
0-x:43.0.x security setup {e}
0-x:43.1.x invocation counter {e}
0-x:43.2.x data protection {e}
0-x:44.0.x image transfer {e}
0-x:44.1.x function control {e}
0-x:65.x.x utility table
0-x:94.x.x country-specific {d}.{e}
0-x:96.1.0-9 device id {e+1}
0-x:96.1.10 metering point id
0-x:96.1.x device id, object {e}
0-x:96.2.0 configuration changes
0-x:96.2.1 time of the last configuration change
0-x:96.2.2 time of the last time switch program change
0-x:96.2.3 time of the last ripple control program change
0-x:96.2.4 status of the security switches
0-x:96.2.5 time of the last calibration
0-x:96.2.6 time of the next configuration
0-x:96.2.7 time of activation of the passive calendar
0-x:96.2.10 protected configuration changes
0-x:96.2.11 time of the last protected configuration change
0-x:96.2.12 time of the last clock synchronisation
0-x:96.2.13 time of the last firmware activation
0-x:96.2.x parameter change {e}
0-x:96.3.1 state of the input control signals
0-x:96.3.2 state of the output control signals
0-x:96.3.10 disconnect control
0-x:96.3.20-29 arbitrator {e}
0-x:96.3.x control signals {e}
0-x:96.4.x state of internal control signals {e}
0-x:96.5.x internal operating status {e}
0-x:96.6.0 battery, time of use
0-x:96.6.1 battery, charge
0-x:96.6.2 battery, time of next change
0-x:96.6.3 battery, voltage
0-x:96.6.6 battery, estimated remaining time
0-x:96.6.x battery {e}
0-x:96.7.0 power failures, all phases
0-x:96.7.1-3 power failures, L{e}
0-x:96.7.4 power failures, auxiliary supply
0-x:96.7.5 long power failures, all phases
0-x:96.7.6-8 long power failures, L{e-5}
0-x:96.7.9 long power failures, any phase
0-x:96.7.10 time of the last power failure, all phases
0-x:96.7.11-13 time of the last power failure, L{e-10}
0-x:96.7.14 time of the last power failure, any phase
0-x:96.7.15 duration of the last long power failure, all phases
0-x:96.7.16-18 duration of the last long power failure, L{e-15}
0-x:96.7.19 duration of the last long power failure, any phase
0-x:96.7.20 time threshold for long power failures
0-x:96.7.21 power failures, any phase
0-x:96.7.x power failures, object {e}
0-x:96.8.0 time of operation
0-x:96.8.x time of operation, tariff {e}
0-x:96.9.x ambient temperature, object {e}
0-x:96.10.x profile status {e}
0-x:96.11.0 event code, standard log
0-x:96.11.1 event code, fraud detection log
0-x:96.11.2 event code, disconnect control log
0-x:96.11.3 event code, M-Bus log
0-x:96.11.4 event code, power quality log
0-x:96.11.5 event code, communication log
0-x:96.11.x event code {e}
0-x:96.12.5 GSM field strength
0-x:96.12.x communication port log {e}
0-x:96.13.0 consumer message text
0-x:96.13.1 consumer message code
0-x:96.13.x consumer message {e}
0-x:96.14.x active tariff {e}
0-x:96.15.x event counter {e}
0-x:96.16.x profile entry counter {e}
0-x:96.20.0 meter opened, counter
0-x:96.20.1-4 meter opened, object {e}
0-x:96.20.5 terminal cover opened, counter
0-x:96.20.6-9 terminal cover opened, object {e-5}
0-x:96.20.10 meter tilted, counter
0-x:96.20.11-14 meter tilted, object {e-10}
0-x:96.20.15 strong magnetic field, counter
0-x:96.20.16-19 strong magnetic field, object {e-15}
0-x:96.20.20 disconnector or valve tampered with, counter
0-x:96.20.21-24 disconnector or valve tampered with, object {e-20}
0-x:96.20.25 metrology tampered with, counter
0-x:96.20.26-29 metrology tampered with, object {e-25}
0-x:96.20.30 communication tampered with, counter
0-x:96.20.31-34 communication tampered with, object {e-30}
0-x:96.20.x tamper, object {e}
0-x:96.x.x service object {d}.{e}
0-x:97.97.x error object {e}
0-x:97.98.0-9 alarm register {e+1}
0-x:97.98.10-19 alarm filter {e-9}
0-x:97.98.20-29 alarm descriptor {e-19}
0-x:97.98.x alarm object {e}
0-x:98.1.x billing period data {e}
0-x:98.2.x billing period data, schedule 2, object {e}
0-x:98.x.x list {d}.{e}
0-x:99.1.x load profile 1, object {e}
0-x:99.2.x load profile 2, object {e}
0-x:99.97.x power failure event log {e}
0-x:99.98.0 standard event log
0-x:99.98.1 fraud detection event log
0-x:99.98.2 disconnect control event log
0-x:99.98.3 M-Bus event log
0-x:99.98.4 power quality event log
0-x:99.98.5 communication event log
0-x:99.98.x event log {e}
0-x:99.x.x profile {d}.{e}
0-x:128-240.x.x manufacturer-specific object {c}.{d}.{e}
4-x:1.x.x heat cost allocator, unrated integral
4-x:2.x.x heat cost allocator, rated integral
5-x:1.x.x cooling energy
5-x:2.x.x cooling volume
6-x:1.x.x heat energy
6-x:2.x.x heat volume
6-x:8.x.x heat power
6-x:9.x.x heat flow rate
6-x:10.x.x heat, flow temperature
6-x:11.x.x heat, return temperature
6-x:12.x.x heat, temperature difference
7-x:0.x.x gas, general object {d}.{e}
7-x:1-2.x.x gas volume, meter
7-x:3.0.x gas volume
7-x:3.1.x gas volume, corrected
7-x:3.2.x gas volume at base conditions
7-x:11-13.x.x gas volume, converted
7-x:31-33.x.x gas energy
7-x:41.x.x gas temperature
7-x:42.x.x gas pressure
7-x:43.x.x gas flow rate
7-x:53.x.x gas conversion factor
7-x:54.x.x gas calorific value
8-x:1.x.x cold water volume
8-x:2.x.x cold water flow rate
9-x:1.x.x hot water volume
9-x:2.x.x hot water flow rate`

const patterns: readonly { pattern: ObisPattern; words: string }[] = table.split('\n').map((line) => {
  const [, code, words] = /^(\S+) (.*)$/.exec(line)!
  return { pattern: obisPattern(code!), words: words! }
})

/** Media of value group A, for a code that no pattern names. */
const media: Readonly<Record<number, string>> = {
  0: 'abstract',
  1: 'electricity',
  4: 'heat cost allocator',
  5: 'cooling',
  6: 'heat',
  7: 'gas',
  8: 'cold water',
  9: 'hot water',
  15: 'other media',
}

/**
 * What a logical name stands for, with channel, tariff and billing period filled in: `0-1:24.2.1` is
 * `M-Bus value 1, channel 1`.
 * @returns `undefined` where no code like it is known
 * @see IEC 62056-61; Blue Book, OBIS
 */
export function obisName(code: Obis): string | undefined {
  const groups = [...encodeObis(code)]
  const [a, b] = groups as [number, number]
  const found = a === 1 ? undefined : patterns.find(({ pattern }) => fitsPattern(pattern, code))
  const words = found === undefined ? electricityName(groups) : filled(found.words, groups)
  if (words === undefined) return media[a] === undefined ? undefined : `${media[a]} object${channel(b)}`
  return words + channel(b)
}

function filled(words: string, groups: readonly number[]): string {
  return words.replace(/\{([a-f])([+-]\d+)?\}/g, (_, group: string, plus: string | undefined) =>
    String(groups['abcdef'.indexOf(group)]! + Number(plus ?? 0)),
  )
}

/** Value group B: 0 is no channel, 1 to 64 channels, above them what the utility or manufacturer wants. */
function channel(b: number): string {
  return b === 0 ? '' : `, channel ${b}`
}
