import { generateKeyPairSync, sign } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { parseCertificate } from '#pki/certificate.ts'
import { encodeCrl } from '#pki/crl-writer.ts'
import { fromPem } from '#pki/pem.ts'
import type { Revocation } from '#pki/revoke.ts'

/** A process of its own, so that its memory is a CRL's and nothing else's. @returns milliseconds and resident octets */
const [certificateFile, count] = process.argv.slice(2)
const issuer = parseCertificate(fromPem('CERTIFICATE', readFileSync(certificateFile!, 'utf8'))[0]!)
const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })

/** Made as they are asked for, so that the CRL's own memory is what is seen. */
const revocations: Iterable<Revocation> = {
  *[Symbol.iterator]() {
    const serial = Buffer.alloc(16, 0x40)
    for (let at = 0; at < Number(count); at += 1) {
      serial.writeUInt32BE((at * 2_654_435_761) % 2 ** 32, 12)
      const reason = at % 2 === 0 ? 'keyCompromise' : 'unspecified'
      yield { serial: serial.toString('hex').toUpperCase(), at: 1_780_272_000 + (at % 8_640_000), reason }
    }
  },
}
const before = process.memoryUsage().rss
const begin = performance.now()
const head = { issuer, number: 1n, thisUpdate: 1_780_272_000, nextUpdate: 1_780_358_400 }
const crl = await encodeCrl(head, revocations, (octets) => sign('sha256', octets, privateKey))
const milliseconds = Math.round(performance.now() - begin)
process.stdout.write(
  JSON.stringify({
    milliseconds,
    octets: crl.length,
    before,
    rss: process.memoryUsage().rss,
    most: process.resourceUsage().maxRSS * 1_024,
  }),
)
