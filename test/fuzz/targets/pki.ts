import { parseCrl } from '#pki/crl.ts'
import { PkiError } from '#pki/errors.ts'
import { parseCertificate, verifyDetached } from '#pki/verify.ts'
import { pkiSample, signedContent } from '../pki-samples.ts'
import { changeDer } from '../structure.ts'
import { Broken, type Target } from '../target.ts'

const isPkiFault = (thrown: unknown): boolean => thrown instanceof PkiError

/** 2026-06-01, when the samples were valid. */
const at = 1_780_272_000

const certificates = (): Uint8Array[] => [pkiSample('leaf'), pkiSample('ca'), pkiSample('root')]

export const certificateTarget: Target = {
  name: 'certificate',
  octetsMax: 2_048,
  seeds: certificates,
  run: (octets) => `${parseCertificate(octets).extensions.length} extensions`,
  isFault: isPkiFault,
  structured: changeDer,
}

export const crlTarget: Target = {
  name: 'crl',
  octetsMax: 2_048,
  seeds: () => [pkiSample('crl')],
  run: (octets) => `${Math.min(parseCrl(octets).serials.size, 4)} revoked`,
  isFault: isPkiFault,
  structured: changeDer,
}

const [genuine, roots] = [pkiSample('cms'), [pkiSample('root')]]

/** A verdict and never an exception; accepted is only what the signer signed, however unsigned parts are arranged. */
export const detachedTarget: Target = {
  name: 'detached',
  octetsMax: 4_096,
  seeds: () => [genuine],
  run: async (octets) => {
    const verdict = await verifyDetached({ cms: octets, content: signedContent, roots, at })
    if (!verdict.ok) return verdict.code
    if (verdict.signer !== 'urn:ami:sealer:c1' || verdict.signedAt !== at)
      throw new Broken('another signature is accepted')
    return 'accepted'
  },
  isFault: () => false,
  structured: changeDer,
}
