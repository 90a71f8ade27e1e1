/** Extended key usages. The private ones stand under 2.25 (UUIDs), where no registration is needed. */
export const keyPurpose = {
  serverAuth: '1.3.6.1.5.5.7.3.1',
  clientAuth: '1.3.6.1.5.5.7.3.2',
  emailProtection: '1.3.6.1.5.5.7.3.4',
  ocspSigning: '1.3.6.1.5.5.7.3.9',
  /** seals batches: UUID 7258197e-1a0a-4d35-a927-d3481ea7d291 */
  sealer: '2.25.151989430694079106557048502187836560017',
  /** receives batches: UUID cca9dcc8-dbde-4489-908f-791ab7cf8c47 */
  mdm: '2.25.272044487353006452503329549861287595079',
} as const

/** Certificate policies of this PKI: UUID ebe098c4-f47e-47b8-998a-c36468b7e431. */
const policyArc = '2.25.313534752036413645113864802283273315377'

export type PolicyName = 'concentrator' | 'gateway' | 'sealer' | 'mdm' | 'operator' | 'researcher' | 'ocsp' | 'ceremony'

/**
 * One policy for each role that a certificate can give. A CA names the policies of the roles that it may issue, so that the
 * root alone tells whether a certificate comes from the right CA. Numbers are public: add, never renumber.
 * @see RFC 5280, 4.2.1.4
 */
export const policy: Readonly<Record<PolicyName, string>> = {
  concentrator: `${policyArc}.1`,
  gateway: `${policyArc}.2`,
  sealer: `${policyArc}.3`,
  mdm: `${policyArc}.4`,
  operator: `${policyArc}.5`,
  researcher: `${policyArc}.6`,
  ocsp: `${policyArc}.7`,
  ceremony: `${policyArc}.8`,
}

/** What follows the URI prefix, and what a profile takes as id: 1 to 64 of `A-Z a-z 0-9 . _ -`. */
export const idPattern: RegExp = /^[A-Za-z0-9._-]{1,64}$/
