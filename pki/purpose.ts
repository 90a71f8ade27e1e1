import { keyUsageBit } from './certificate.ts'

/** Extended key usages. The private ones stand under 2.25 (UUIDs), where no registration is needed. */
export const keyPurpose = {
  serverAuth: '1.3.6.1.5.5.7.3.1',
  clientAuth: '1.3.6.1.5.5.7.3.2',
  emailProtection: '1.3.6.1.5.5.7.3.4',
  /** seals batches: UUID 7258197e-1a0a-4d35-a927-d3481ea7d291 */
  sealer: '2.25.151989430694079106557048502187836560017',
} as const

export type Purpose = 'concentrator' | 'gateway' | 'sealer' | 'mdm'

/** What a leaf must be to serve a purpose. */
export interface PurposeRule {
  /** the key usage bit it needs */
  keyUsage: number
  /** each of these must be named by the leaf, and allowed by its CAs where they restrict */
  extendedKeyUsage: readonly string[]
  /** its identity is the one URI in its alternative names that starts so; without: its DNS names and addresses */
  uri: string | undefined
}

export const purposes: Readonly<Record<Purpose, PurposeRule>> = {
  concentrator: {
    keyUsage: keyUsageBit.digitalSignature,
    extendedKeyUsage: [keyPurpose.clientAuth],
    uri: 'urn:ami:concentrator:',
  },
  gateway: { keyUsage: keyUsageBit.digitalSignature, extendedKeyUsage: [keyPurpose.serverAuth], uri: undefined },
  sealer: { keyUsage: keyUsageBit.digitalSignature, extendedKeyUsage: [keyPurpose.sealer], uri: 'urn:ami:sealer:' },
  mdm: { keyUsage: keyUsageBit.keyAgreement, extendedKeyUsage: [], uri: 'urn:ami:mdm:' },
}

/** What follows the URI prefix, and what a profile takes as id: 1 to 64 of `A-Z a-z 0-9 . _ -`. */
export const idPattern: RegExp = /^[A-Za-z0-9._-]{1,64}$/
