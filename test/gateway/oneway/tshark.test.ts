import { spawnSync } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { DatagramWriter, heartbeatShape } from '#gateway/oneway/datagram.ts'
import { heartbeatOctets } from '#gateway/oneway/heartbeat.ts'
import { heartbeatToi, toiOfManifest } from '#gateway/oneway/toi.ts'
import { datagramsOf, linkKey, readDatagram } from '#test/support/datagrams.ts'
import { judge } from '#test/support/judge.ts'
import { tempFolder } from '#test/support/temp.ts'

const port = 9_700
const epoch = 0xfedc_ba98
const sequence = 2 ** 40 + 9

/** A capture of UDP datagrams over IPv4, link type 101 (no link layer). @see draft-ietf-opsawg-pcap */
function capture(datagrams: readonly Buffer[]): Buffer {
  const file = Buffer.alloc(24)
  file.writeUInt32LE(0xa1b2_c3d4, 0)
  file.writeUInt16LE(2, 4)
  file.writeUInt16LE(4, 6)
  file.writeUInt32LE(65_535, 16)
  file.writeUInt32LE(101, 20)
  const packets = datagrams.flatMap((datagram) => {
    const [record, headers] = [Buffer.alloc(16), Buffer.alloc(28)]
    for (const at of [8, 12]) record.writeUInt32LE(28 + datagram.length, at)
    headers.set([0x45, 0], 0)
    headers.writeUInt16BE(28 + datagram.length, 2)
    headers.set([64, 17], 8)
    headers.set([10, 0, 0, 1, 10, 0, 0, 2], 12)
    headers.writeUInt16BE(40_000, 20)
    headers.writeUInt16BE(port, 22)
    headers.writeUInt16BE(8 + datagram.length, 24)
    return [record, headers, datagram]
  })
  return Buffer.concat([file, ...packets])
}

/** What tshark reads in each datagram, by field. */
function dissected(datagrams: readonly Buffer[], fields: readonly string[]): Record<string, string>[] {
  const file = join(tempFolder(), 'sent.pcap')
  writeFileSync(file, capture(datagrams))
  const asked = fields.flatMap((field) => ['-e', field])
  const args = ['-r', file, '-d', `udp.port==${port},alc`, '-o', 'alc.lct.codepoint_as_fec_id:TRUE']
  const { stdout, status } = spawnSync('tshark', [...args, '-T', 'fields', '-E', 'separator=;', ...asked], {
    encoding: 'utf8',
    timeout: 25_000,
  })
  expect(status).toBe(0)
  return stdout
    .trimEnd()
    .split('\n')
    .map((line) => Object.fromEntries(line.split(';').map((value, i) => [fields[i]!, value])))
}

const number = (text: string | undefined): number => Number(text)

describe.skipIf(!judge.tshark.here)(`tshark${judge.tshark.note}`, () => {
  const passes = [
    datagramsOf(Buffer.alloc(2_500, 3), { epoch, sequence, symbolOctets: 1_000 }),
    datagramsOf(Buffer.alloc(2_500, 3), { epoch, sequence, symbolOctets: 1_000, lossShare: 0.1 }),
    datagramsOf(Buffer.alloc(39_993, 3), { epoch, sequence, symbolOctets: 100, lossShare: 0.1 }),
  ]

  test('reads the LCT headers and the extensions of every FEC encoding id as we do, and finds nothing malformed', () => {
    const all = passes.flatMap((pass) => [pass[0]!, pass.at(-1)!])
    const header = [
      'version',
      'fsize.cci',
      'fsize.tsi',
      'fsize.toi',
      'flags',
      'hlen',
      'codepoint',
      'cci',
      'tsi',
      'toi64',
    ]
    const fields = [
      ...header.map((field) => `rmt-lct.${field}`),
      ...['rmt-lct.ext', 'rmt-lct.hec.type', 'rmt-lct.hec.len', 'rmt-fec.encoding_id', 'rmt-fec.fti.transfer_length'],
      '_ws.malformed',
    ]
    const read = dissected(all, fields)
    expect(read).toHaveLength(all.length)
    for (const [i, octets] of all.entries()) {
      const { shape } = readDatagram(octets)
      const headerOctets = octets[2]! * 4
      expect(read[i]).toEqual({
        'rmt-lct.version': '1',
        'rmt-lct.fsize.cci': '4',
        'rmt-lct.fsize.tsi': '4',
        'rmt-lct.fsize.toi': '8',
        'rmt-lct.flags': '0x0000',
        'rmt-lct.hlen': String(headerOctets),
        'rmt-lct.codepoint': String(shape.fecId),
        'rmt-lct.cci': '00000000',
        'rmt-lct.tsi': String(epoch),
        'rmt-lct.toi64': String(sequence),
        'rmt-lct.ext': '2',
        'rmt-lct.hec.type': '1,64',
        'rmt-lct.hec.len': `5,${(headerOctets - 40) / 4}`,
        'rmt-fec.encoding_id': String(shape.fecId),
        'rmt-fec.fti.transfer_length': String(shape.objectOctets),
        '_ws.malformed': '',
      })
    }
    expect(new Set(all.map((octets) => readDatagram(octets).shape.fecId))).toEqual(new Set([0, 3, 5]))
  })

  test('reads EXT_FTI and payload id of Compact No-Code, the one of ours whose layout it knows, as we do', () => {
    const fields = ['encoding_symbol_length', 'max_source_block_length'].map((field) => `rmt-fec.fti.${field}`)
    const read = dissected(passes[0]!, [...fields, 'rmt-fec.sbn', 'rmt-fec.esi', 'alc.payload'])
    for (const [i, octets] of passes[0]!.entries()) {
      const { shape, symbol, payload } = readDatagram(octets)
      expect(number(read[i]?.['rmt-fec.fti.encoding_symbol_length'])).toBe(shape.symbolOctets)
      expect(number(read[i]?.['rmt-fec.fti.max_source_block_length'])).toBe(3)
      expect([number(read[i]?.['rmt-fec.sbn']), number(read[i]?.['rmt-fec.esi'])]).toEqual([0, symbol])
      expect(read[i]?.['alc.payload']).toBe(Buffer.from(payload).toString('hex'))
    }
  })

  test('reads a heartbeat as an object of TOI 0 in one symbol of Compact No-Code, and a manifest by its number', () => {
    const writer = new DatagramWriter({ key: linkKey, epoch, slots: 1, symbolOctets: heartbeatOctets })
    const payload = Buffer.alloc(heartbeatOctets, 6)
    const heartbeat = writer.write({ sequence: heartbeatToi, shape: heartbeatShape, symbol: 0, payload })
    const [manifest] = datagramsOf(Buffer.alloc(500), { epoch, sequence: toiOfManifest(9), symbolOctets: 1_000 })
    const fields = [
      ...['rmt-lct.tsi', 'rmt-lct.toi64', 'rmt-lct.codepoint', 'rmt-lct.hlen', 'rmt-lct.hec.type'],
      ...['rmt-fec.fti.transfer_length', 'rmt-fec.esi', 'alc.payload', '_ws.malformed'],
    ]
    const read = dissected([heartbeat, manifest!], fields)
    expect(Object.values(read[0]!)).toEqual([
      ...[String(epoch), '0', '0', '56', '1,64', '76', '0x00000000', payload.toString('hex'), ''],
    ])
    expect([read[1]?.['rmt-lct.toi64'], read[1]?.['_ws.malformed']]).toEqual([String(2 ** 52 + 9), ''])
  })
})
