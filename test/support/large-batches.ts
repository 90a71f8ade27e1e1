import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Layout } from '#cli/demo/layout.ts'
import { encodeSealedBatch, encodeSeries, type SealedSeries } from '#gateway/codec/batch.ts'
import { readKek } from '#gateway/io/keys.ts'
import { openLedger } from '#gateway/io/ledger.ts'
import { openSigner } from '#gateway/io/signer.ts'
import { unitWh } from '#gateway/model.ts'
import { headerDigest, nextHeader } from '#gateway/oneway/seal.ts'
import { activeImport, meter, monday } from './meters.ts'

/** Octets of a series of one reading with every field at its longest, about. */
const seriesOctets = 53
/** Where its meter's last five octets stand: field 1, eight octets, comes first. */
const meterAt = 2 + 3

/** A quarter-hour of a meter, in as many octets as one reading can take. */
const largeSeries: SealedSeries = {
  meter: meter(0).meter,
  obis: activeImport,
  scaler: -128,
  unit: unitWh,
  ends: [monday],
  values: [Number.MAX_SAFE_INTEGER],
  qualities: [0xffff_ffff],
  revisions: [255],
}

/**
 * Puts sealed batches into the outbox of a gateway that does not run: the next start sends them.
 * @param octets of each, about @returns readings in each
 */
export async function fillOutbox(
  layout: Layout,
  { batches, octets }: { batches: number; octets: number },
): Promise<number> {
  const { folder, gatewayConfig } = layout
  const { tls } = JSON.parse(readFileSync(gatewayConfig, 'utf8')) as { tls: { crlFile: string } }
  const signer = await openSigner({
    keyFile: join(folder, 'sealer.key.pem'),
    certificateFile: join(folder, 'sealer.chain.pem'),
    crlFile: tls.crlFile,
  })
  const ledger = openLedger(join(folder, 'gateway', 'ledger.sqlite'), readKek(join(folder, 'kek')))
  const readings = Math.ceil(octets / seriesOctets)
  const leaves = Array.from({ length: readings }, () => Buffer.from(encodeSeries(largeSeries)))
  for (let n = 1; n <= batches; n++) {
    const first = n * readings // no meter twice, in all of them
    for (const [i, leaf] of leaves.entries()) leaf.writeUIntBE(first + i, meterAt, 5)
    const createdAtMs = Date.now()
    const header = nextHeader(ledger.outbox.head(), { series: leaves, readingCount: readings, createdAtMs })
    const sealed = encodeSealedBatch({ header, signature: await signer.sign(header), series: leaves })
    const digest = headerDigest(header)
    ledger.outbox.seal(
      { upTo: 0, leaves, readings, full: false },
      { sequence: n, digest, sealedAtMs: createdAtMs, octets: sealed },
    )
  }
  ledger.close()
  return readings
}
