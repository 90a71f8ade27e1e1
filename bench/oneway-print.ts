import { grouped, table } from './figures.ts'
import { bucketMbit, type Full, type Goodput, type Lag, type Losses } from './oneway-measure.ts'

export interface Report {
  bufferOctets: number
  fec?: Record<string, string | number>[]
  goodput?: Goodput[]
  lag?: Lag
  losses?: Losses[]
  full?: Full
}

export function print(report: Report): void {
  if (report.fec !== undefined) {
    const columns = ['octets', 'symbolOctets', 'code', 'encode', 'decode', 'whole', 'sending', 'receiving']
    console.log('MB a second of processor time')
    console.log(table([columns, ...report.fec.map((row) => columns.map((column) => String(row[column])))]))
  }
  if (report.goodput !== undefined) {
    console.log('Mbit of payload a second of processor time, of each end')
    const rows = report.goodput.map((one) => [
      one.who,
      ...[one.symbolOctets, one.lossPercent, one.mbit, one.sendingPerCore, one.receivingPerCore].map((figure) =>
        figure === undefined ? '-' : grouped(figure),
      ),
      ratio(report.goodput!, one, 'sendingPerCore'),
      ratio(report.goodput!, one, 'receivingPerCore'),
      one.lost,
      String(one.kernelDrops),
    ])
    const head = [
      '',
      'octets',
      'loss %',
      'Mbit/s',
      'sending',
      'receiving',
      'to plain',
      'to plain',
      'lost',
      'kernel drops',
    ]
    console.log(table([head, ...rows]))
  }
  if (report.lag !== undefined) {
    const { objects: count, p50Ms, p99Ms, lost } = report.lag
    console.log(
      `Lag at half of ${bucketMbit} Mbit/s, 10 % loss, ${count} objects: p50 ${p50Ms} ms, p99 ${p99Ms} ms, ${lost} lost\n`,
    )
  }
  if (report.losses !== undefined) {
    const rows = report.losses.map((one) => [
      one.loss,
      `${one.seenPercent} %`,
      String(one.objects),
      one.computed === undefined ? '' : one.computed.toPrecision(2),
      String(one.lost),
      String(one.kernelDrops),
    ])
    console.log(table([['loss', 'seen', 'objects', 'computed', 'lost', 'kernel drops'], ...rows]))
  }
  if (report.full !== undefined) {
    const {
      objects: count,
      lostPercentSeen,
      repairPercent,
      lost,
      spoilt,
      kernelDrops,
      seconds: took,
      passedBack,
    } = report.full
    console.log(
      `${grouped(count)} objects of 1 MB, one pass, ${lostPercentSeen} % of datagrams lost, ${repairPercent} % repair: ${lost} lost, ${spoilt} spoilt; ` +
        `${kernelDrops} kernel drops, ${took} s, ${passedBack} frames back`,
    )
  }
}

function ratio(all: readonly Goodput[], one: Goodput, of: 'sendingPerCore' | 'receivingPerCore'): string {
  const plain = all.find(
    ({ who, symbolOctets, lossPercent }) =>
      who === 'plain' && symbolOctets === one.symbolOctets && lossPercent === one.lossPercent,
  )!
  const [mine, bound] = [one[of], plain[of]]
  return mine === undefined || bound === undefined ? '-' : (mine / bound).toFixed(2)
}
